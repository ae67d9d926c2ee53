import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  readdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { contentOf } from '../../test/archive/content-of.ts';
import type { Content } from '../../dom0-agent/archive/content.ts';
import { scryptCost } from '../../dom0-agent/archive/scrypt-cost.ts';
import { firstFile } from '../../dom0-agent/archive/coffer1/series.ts';
import { writeCoffer1 } from '../../dom0-agent/archive/coffer1/write-coffer1.ts';
import { openArchive } from '../../dom0-agent/archive/open-archive.ts';
import { Dom0Storage } from '../../dom0-agent/transport/dom0-storage.ts';
import { LoadSystem } from './load-system.ts';
import { type Observed, descriptorsOf, peakOf } from './observe.ts';
import type { Row } from './row.ts';

const KiB = 2 ** 10;
const NEVER = new AbortController().signal;
/** How many bytes of data a scattered volume has at each place. */
const AT_EACH_PLACE = 16 * KiB;

function rowOf(load: string, amount: number, { seconds, coffer, descriptors }: Observed): Row {
  return { load, amount, seconds, memory: coffer, descriptors };
}

/** Backs up, verifies and restores a volume of `size` bytes with data at `places` places. */
export async function scatteredVolume(size: number, places: number): Promise<Row[]> {
  using system = await LoadSystem.make();
  await system.addQubes(['work']);
  const data = randomBytes(AT_EACH_PLACE);
  const offsetOf = (place: number): number => place * Math.floor(size / places / 4096) * 4096;
  const image = openSync(system.imageOf('work'), 'r+');
  ftruncateSync(image, size);
  for (let place = 0; place < places; place++) {
    data.writeUInt32BE(place);
    writeSync(image, data, 0, data.length, offsetOf(place));
  }
  closeSync(image);

  const backup = await system.coffer('backup', 'backups', 'work');
  const verify = await system.coffer('verify', system.newestBackup);
  const restore = await system.coffer(
    'restore',
    '--rename-conflicting',
    '--ignore-size-limit',
    system.newestBackup,
  );
  requireSame(system, size, places, offsetOf);
  return [
    rowOf('scattered volume: backup', places, backup),
    rowOf('scattered volume: verify', places, verify),
    rowOf('scattered volume: restore', places, restore),
  ];
}

/** Throws unless the restored volume has the same size, the same data, and holes elsewhere. */
function requireSame(
  system: LoadSystem,
  size: number,
  places: number,
  offsetOf: (place: number) => number,
): void {
  const [old, restored] = ['work', 'work-1'].map((qube) => openSync(system.imageOf(qube), 'r'));
  if (old === undefined || restored === undefined) throw new Error('an image is missing');
  const [expected, found] = [Buffer.alloc(AT_EACH_PLACE), Buffer.alloc(AT_EACH_PLACE)];
  for (let place = 0; place < places; place++) {
    readSync(old, expected, 0, expected.length, offsetOf(place));
    readSync(restored, found, 0, found.length, offsetOf(place));
    if (!found.equals(expected)) throw new Error(`the data differs at place ${place}`);
  }
  const stats = fstatSync(restored);
  if (stats.size !== size) throw new Error('the size differs');
  // With some tolerance for what the file system itself needs.
  if (stats.blocks * 512 > places * AT_EACH_PLACE * 1.2 + 2 ** 20) {
    throw new Error('the holes were not restored as holes');
  }
  for (const image of [old, restored]) closeSync(image);
}

/** Backs up, lists, verifies and restores `amount` empty VMs. */
export async function manyQubes(amount: number): Promise<Row[]> {
  using system = await LoadSystem.make();
  const names = Array.from({ length: amount }, (_, i) => `vm-${i}`);
  await system.addQubes(names);
  const backup = await system.coffer('backup', 'backups', ...names);
  const list = await system.coffer('list', system.newestBackup);
  const verify = await system.coffer('verify', system.newestBackup);
  const restore = await system.coffer('restore', '--rename-conflicting', system.newestBackup);
  return [
    rowOf('VMs: backup', amount, backup),
    rowOf('VMs: list', amount, list),
    rowOf('VMs: verify', amount, verify),
    rowOf('VMs: restore', amount, restore),
  ];
}

/** Writes and reads an archive of `amount` parts of the smallest size, in this process. */
export async function manyParts(amount: number): Promise<Row[]> {
  // The smallest chunks have 64 KiB, and a part at least one.
  const partSize = 64 * KiB;
  const directory = await mkdtemp(join(tmpdir(), 'coffer-parts-'));
  const path = join(directory, 'archive');
  try {
    const file = await open(path, 'wx');
    const output = {
      write: async (bytes: Buffer): Promise<void> => {
        await file.write(bytes);
      },
    };
    const options = {
      ...firstFile(Buffer.from('correct horse'), scryptCost(14)),
      encrypted: true,
      compressionFilter: undefined,
      cut: { grain: partSize, partSize },
      created: new Date(),
    };
    const write = await timed('parts: write', amount, async () => {
      await writeCoffer1(oneLargeFile(amount * partSize), output, options, NEVER);
    });
    await file.close();
    const seek = await timed('parts: read from a file', amount, () => readAll({ file: path }));
    const stream = await timed('parts: read from a stream', amount, () =>
      readAll({ command: `cat '${path}'` }),
    );
    return [write, seek, stream];
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function* oneLargeFile(size: number): AsyncGenerator<Content> {
  yield await Promise.resolve({
    ...{ kind: 'file', path: 'qubes.xml' },
    bytes: Buffer.from('<qubes/>'),
  });
  const block = randomBytes(64 * KiB);
  const read = (buffer: Buffer): Promise<void> => {
    buffer.fill(block);
    return Promise.resolve();
  };
  const extents = [{ offset: 0, length: size }];
  const path = 'vm1/private.img';
  yield { kind: 'volume', path, domain: path, origin: path, size, extents, read };
}

async function readAll(from: { file: string } | { command: string }): Promise<void> {
  await using source = await new Dom0Storage().openSource(from, NEVER);
  const reader = await openArchive(source, Buffer.from('correct horse'), NEVER);
  await reader.qubesXml();
  for await (const file of reader.files(() => true)) {
    for await (const chunk of contentOf(file))
      if (chunk.length === 0) throw new Error('an empty chunk');
  }
}

async function timed(load: string, amount: number, work: () => Promise<void>): Promise<Row> {
  const [begun, used] = [performance.now(), process.cpuUsage()];
  await work();
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(used);
  const processorSeconds = (user + system) / 1e6;
  const own = { memory: peakOf('self'), descriptors: descriptorsOf('self') };
  return { load, amount, seconds, processorSeconds, ...own };
}

/** Makes `amount` backups one after the other, then four at once, in the same storage VM, and verifies each. */
export async function manyBackups(amount: number, size: number): Promise<Row[]> {
  using system = await LoadSystem.make();
  const names = ['work', 'mail', 'vault', 'play'];
  await system.addQubes(names);
  for (const name of names) {
    const image = openSync(system.imageOf(name), 'r+');
    for (let at = 0; at < size; at += 2 ** 20)
      writeSync(image, randomBytes(2 ** 20), 0, 2 ** 20, at);
    closeSync(image);
  }
  const rows: Row[] = [];
  for (let i = 1; i <= amount; i++) {
    const observed = await system.coffer('backup', 'backups', 'work');
    rows.push(rowOf('one after the other: backup no.', i, observed));
    await system.coffer('verify', system.newestBackup);
    rmSync(join(system.directory, 'homes/usb', system.newestBackup));
  }
  const together = await Promise.all(names.map((name) => system.coffer('backup', 'backups', name)));
  const made = readdirSync(system.backups);
  if (made.length !== names.length) throw new Error(`there are ${made.length} backups`);
  for (const name of made) await system.coffer('verify', join('backups', name));
  return [...rows, ...together.map((observed) => rowOf('four at once', 4, observed))];
}
