import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { FailedError } from '../../../shared/errors.ts';
import type { RunForBytes, RunProgram } from '../../../shared/run-program.ts';
import { begin, end, free, freeObjects, object, TO_THE_END, write } from './zfs-records.ts';

export const VID = 'tank/qubes/work/private';
export const BLOCK = 8192;
const BLOCKS = 64;
export const SIZE = BLOCKS * BLOCK;

interface State {
  readonly name: string;
  readonly guid: string;
  readonly txg: number;
  /** The transaction group in which each block was written. */
  readonly blocks: ReadonlyMap<number, number>;
}

/**
 * A double of a ZFS pool with one volume behind the programs that coffer runs: its output, and the records of its streams,
 * are those that OpenZFS 2.1.11 was observed to produce. `npm run test:zfs` tests the real one.
 */
export class ZfsPoolDouble {
  poolGuid = '15686917759155847043';
  volumeGuid = '6076046656414281655';
  readonly ran: string[] = [];
  /** The errors that programs fail with, by name. */
  readonly failing = new Map<string, string>();
  /** Changes a stream before it is output. */
  spoil: (stream: Buffer) => Buffer = (stream) => stream;
  bookmarks: { name: string; guid: string; txg: number }[] = [];
  readonly #devices: string;
  #txg = 10;
  #guids = 7_480_773_810_094_983_155n;
  #blocks = new Map<number, number>();
  #snapshots: State[] = [];
  readonly #origins = new Map<string, string>();

  constructor(devices: string) {
    this.#devices = devices;
  }

  get snapshots(): readonly string[] {
    return this.#snapshots.map(({ name }) => name);
  }

  write(...blocks: readonly number[]): void {
    this.#txg++;
    for (const block of blocks) this.#blocks.set(block, this.#txg);
  }

  /** Does what qubesd does when a VM has stopped. */
  markClean(): void {
    const old = this.#snapshots.filter(({ name }) => name.includes('@qubes-clean-'));
    this.snapshot(`qubes-clean-${this.#txg}`);
    for (const { name } of old) this.#destroy(name);
  }

  snapshot(name: string): void {
    const made = { name: `${VID}@${name}`, guid: this.#newGuid(), txg: ++this.#txg };
    this.#snapshots.push({ ...made, blocks: new Map(this.#blocks) });
  }

  readonly run: RunProgram = async (program, args) => {
    const line = [program, ...args].join(' ');
    this.ran.push(line);
    for (const [start, complaint] of this.failing) {
      if (line.startsWith(start)) throw new FailedError(`"${line}" failed (1): ${complaint}`);
    }
    const last = args.at(-1) ?? '';
    switch (`${program} ${args[0]}`) {
      case 'zpool get':
        return `${this.poolGuid}\n`;
      case 'zfs list':
        return this.#list(line);
      case 'zfs get':
        return `${this.#origins.get(last) ?? '-'}\n`;
      case 'zfs snapshot':
        this.snapshot(last.slice(VID.length + 1));
        return '';
      case 'zfs clone':
        this.#origins.set(last, args.at(-2) ?? '');
        await mkdir(dirname(join(this.#devices, 'zvol', last)), { recursive: true });
        await writeFile(join(this.#devices, 'zvol', last), '');
        return '';
      case 'zfs bookmark': {
        const { guid, txg } = this.#find(args.at(-2) ?? '');
        this.bookmarks.push({ name: last.slice(VID.length + 1), guid, txg });
        return '';
      }
      case 'zfs destroy':
        this.#destroy(last);
        return '';
      default:
        return '';
    }
  };

  readonly bytes: RunForBytes = (program, args) => this.#send(program, args);

  async *#send(program: string, args: readonly string[]): AsyncGenerator<Buffer> {
    await this.run(program, args);
    const from = this.bookmarks.find(({ name }) => args.at(-2) === `${VID}#${name}`);
    const to = this.#find(args.at(-1) ?? '');
    if (from === undefined) throw new FailedError('bookmark does not exist');
    const changed = [...to.blocks].filter(([, txg]) => txg > from.txg).sort(([a], [b]) => a - b);
    const toGuid = BigInt(to.guid);
    const records = [
      begin({ 40: toGuid, 48: BigInt(from.guid) }),
      freeObjects(0n, 1n),
      ...(changed.length === 0 ? [] : [object(), free(SIZE, TO_THE_END)]),
      ...changed.map(([block]) => write(block * BLOCK, BLOCK)),
      end(),
    ];
    yield this.spoil(Buffer.concat(records.map((record) => toSnapshot(record, toGuid))));
  }

  /** Oldest first, a volume before its snapshots. */
  #list(line: string): string {
    if (line.includes('name,guid')) {
      const listed = this.bookmarks.map(({ name, guid }) => `${VID}#${name}\t${guid}\n`);
      if (!line.includes('type,')) return listed.join('');
    }
    if (!line.includes('type,')) return this.snapshots.map((name) => `${name}\n`).join('');
    const rows: string[][] = [];
    const states = [...this.#snapshots, { name: VID, guid: this.volumeGuid, blocks: this.#blocks }];
    for (const [at, { name, guid, blocks }] of states.entries()) {
      const txg = this.#snapshots[at]?.txg ?? 8;
      const since = this.#snapshots[at - 1]?.txg ?? 0;
      const written = [...blocks.values()].filter((birth) => birth > since).length * BLOCK;
      const type = name.includes('@') ? 'snapshot' : 'volume';
      rows.push([type, name, guid, `${txg}`, `${written}`, `${SIZE}`]);
    }
    rows.unshift(rows.pop() ?? []);
    for (const { name, guid, txg } of this.bookmarks) {
      rows.push(['bookmark', `${VID}#${name}`, guid, `${txg}`, '-', '-']);
    }
    return rows.map((row) => `${row.join('\t')}\n`).join('');
  }

  #find(name: string): State {
    const found = this.#snapshots.find((snapshot) => snapshot.name === name);
    if (found === undefined) throw new FailedError(`cannot open '${name}': dataset does not exist`);
    return found;
  }

  #destroy(name: string): void {
    this.#snapshots = this.#snapshots.filter((snapshot) => snapshot.name !== name);
    this.bookmarks = this.bookmarks.filter((bookmark) => `${VID}#${bookmark.name}` !== name);
    this.#origins.delete(name);
  }

  #newGuid(): string {
    this.#guids += 3n;
    return `${this.#guids}`;
  }
}

/** A record with the GUID of the snapshot that its stream leads to. */
function toSnapshot(record: Buffer, guid: bigint): Buffer {
  const place = { 1: 40, 2: 24, 3: 40, 4: 32, 5: 40 }[record.readUInt32LE(0)];
  if (place !== undefined) record.writeBigUInt64LE(guid, place);
  return record;
}
