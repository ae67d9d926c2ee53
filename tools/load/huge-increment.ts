import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { scryptCost } from '../../dom0-agent/archive/scrypt-cost.ts';
import { ChunkIds, ID_LENGTH } from '../../dom0-agent/archive/coffer1/chunk-ids.ts';
import type { EarlierFile } from '../../dom0-agent/archive/coffer1/earlier-files.ts';
import { PartsTable } from '../../dom0-agent/archive/coffer1/parts-table.ts';
import { Runs } from '../../dom0-agent/archive/coffer1/runs.ts';
import { type NextFile, firstFile, newId } from '../../dom0-agent/archive/coffer1/series.ts';
import type { VolumeMap } from '../../dom0-agent/archive/coffer1/volume-map.ts';
import { writeCoffer1 } from '../../dom0-agent/archive/coffer1/write-coffer1.ts';
import type { Content } from '../../dom0-agent/archive/content.ts';
import type { Row } from './row.ts';
import { descriptorsOf, peakOf } from './observe.ts';

const KiB = 2 ** 10;
const GRAIN = 128 * KiB;
const IN_PART = 32;
const IDS_AT_ONCE = 2 ** 13;
const NEVER = new AbortController().signal;
const PATH = 'vm1/private.img';
const VOLUME = { path: PATH, domain: PATH, origin: PATH };

/**
 * Makes a backup of a volume that is full of data, in this process. Only the earlier file that holds its `chunks` is
 * simulated; every `step`th chunk has changed since.
 */
export async function hugeIncrement(chunks: number, step: number): Promise<Row> {
  const last = firstFile(Buffer.from('correct horse'), scryptCost(14));
  const options = {
    ...(await nextAfter(last, chunks)),
    encrypted: true,
    compressionFilter: 'zstd' as const,
    cut: { grain: GRAIN, partSize: IN_PART * GRAIN },
    created: new Date(),
  };
  const output = { write: () => Promise.resolve() };
  forgetPeak();
  const begun = performance.now();
  const written = await writeCoffer1(changedContent(chunks, step), output, options, NEVER);
  const seconds = (performance.now() - begun) / 1000;
  const changed = Math.ceil(chunks / step);
  if (written.newChunks !== changed) {
    throw new Error(`${written.newChunks} chunks were stored instead of ${changed}`);
  }
  const seen = { memory: peakOf('self'), descriptors: descriptorsOf('self') };
  return { load: 'full volume: increment', amount: chunks, seconds, ...seen };
}

/** A file that continues from one with all chunks of the volume, part after part. */
async function nextAfter({ series, backupId }: NextFile, chunks: number): Promise<NextFile> {
  const digest = new ChunkIds(series.key, PATH);
  const table = new PartsTable();
  const runs = new Runs();
  for (let first = 0, part = 0; first < chunks; first += IN_PART, part++) {
    const count = Math.min(IN_PART, chunks - first);
    table.add({ size: count * GRAIN, chunks: count, domain: PATH });
    runs.add({ first, count, backup: 0, part, offset: 0 });
  }
  for (let first = 0; first < chunks; first += IDS_AT_ONCE) {
    digest.add(first, await idsFrom(first, Math.min(IDS_AT_ONCE, chunks - first)));
  }
  const earlier: EarlierFile = { backupId, table, ids: (first, count) => idsFrom(first, count) };
  const map: VolumeMap = {
    ...{ ...VOLUME, size: chunks * GRAIN, grain: GRAIN, backups: [backupId], runs, chunks },
    digest: digest.digest(),
  };
  return {
    ...{ series, backupId: newId(), sequence: 2, previous: { backupId, mac: '0'.repeat(128) } },
    earlier: { files: [earlier], lastMap: () => Promise.resolve(map) },
  };
}

/** Pseudorandom ids, the same each time. */
function idsFrom(first: number, count: number): Promise<Buffer> {
  const ids = Buffer.alloc(count * ID_LENGTH);
  for (let i = 0; i < count; i++) {
    for (let word = 0; word < 4; word++) {
      const mixed = Math.imul((4 * (first + i) + word) ^ 0x9e3779b9, 0x85ebca6b);
      ids.writeUInt32LE(
        Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35) >>> 0,
        ID_LENGTH * i + 4 * word,
      );
    }
  }
  return Promise.resolve(ids);
}

async function* changedContent(chunks: number, step: number): AsyncGenerator<Content> {
  yield await Promise.resolve({
    ...{ kind: 'file', path: 'qubes.xml' },
    bytes: Buffer.from('<qubes/>'),
  });
  const size = chunks * GRAIN;
  const block = randomBytes(GRAIN);
  const read = (buffer: Buffer, offset: number): Promise<void> => {
    for (let at = 0; at < buffer.length; at += GRAIN) {
      block.writeDoubleBE(offset + at);
      block.copy(buffer, at);
    }
    return Promise.resolve();
  };
  const changed = Array.from({ length: Math.ceil(chunks / step) }, (_, i) => ({
    offset: i * step * GRAIN,
    length: GRAIN,
  }));
  const extents = [{ offset: 0, length: size }];
  // Of what is said to be unchanged, a sample would be read: here, what there is of it is only counted.
  const check = {
    sampleOf: (unchanged: Iterable<{ count: number }>): number[] => {
      let left = chunks - changed.length;
      for (const { count } of unchanged) left -= count;
      if (left !== 0) throw new Error(`${left} chunks are neither changed nor unchanged`);
      return [];
    },
    wrong: () => Promise.reject(new Error('what is known of the volume is not believed')),
  };
  yield { ...VOLUME, kind: 'volume', size, extents, changed, check, read };
}

/** Resets the kernel's peak of this process's resident memory. */
function forgetPeak(): void {
  writeFileSync('/proc/self/clear_refs', '5');
}
