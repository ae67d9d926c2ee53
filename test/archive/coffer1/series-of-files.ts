import { expect } from 'vitest';
import type {
  CheckOfChanges,
  Content,
  VolumeContent,
} from '../../../dom0-agent/archive/content.ts';
import { ChunkIds, ID_LENGTH } from '../../../dom0-agent/archive/coffer1/chunk-ids.ts';
import { PART_TEXT_LENGTH } from '../../../dom0-agent/archive/coffer1/coffer1-header.ts';
import type { DataTarget } from '../../../dom0-agent/archive/coffer1/data-files.ts';
import type { EarlierFile } from '../../../dom0-agent/archive/coffer1/earlier-files.ts';
import { memberKeys } from '../../../dom0-agent/archive/coffer1/keys.ts';
import {
  type Manifest,
  type NamedFile,
  parseManifest,
} from '../../../dom0-agent/archive/coffer1/manifest.ts';
import { parsePartText } from '../../../dom0-agent/archive/coffer1/part-text.ts';
import { openMember } from '../../../dom0-agent/archive/coffer1/seal-member.ts';
import { newId } from '../../../dom0-agent/archive/coffer1/series.ts';
import {
  type VolumeMap,
  mapPath,
  parseMap,
} from '../../../dom0-agent/archive/coffer1/volume-map.ts';
import {
  type WrittenFile,
  writeCoffer1,
} from '../../../dom0-agent/archive/coffer1/write-coffer1.ts';
import type { Extent } from '../../../shared/sparse-data.ts';
import { MemoryOutput } from '../memory.ts';
import { membersOf } from '../official-archives.ts';
import { GRAIN, OPTIONS, never, sampleFile } from './sample.ts';

/** A volume of a backup in a test. */
export interface TestVolume {
  readonly path: string;
  readonly domain: string;
  readonly bytes: Buffer;
  /** Undefined: nothing is known of what changed. */
  readonly changed?: readonly Extent[] | undefined;
  readonly check?: CheckOfChanges | undefined;
}

/** A file of the series, and what dom0 records about it. */
interface TestFile {
  readonly backupId: string;
  readonly bytes: Buffer;
  readonly members: ReadonlyMap<string, Buffer>;
  readonly written: Pick<WrittenFile, 'table' | 'grain' | 'sequence'>;
  readonly ids: Buffer;
}

export interface TestOptions {
  readonly full?: boolean;
  readonly grain?: number;
  readonly chunksInPart?: number;
  readonly failing?: boolean;
  readonly ahead?: TestAhead | undefined;
}

/** How a backup stores data ahead of itself. */
export interface TestAhead {
  /** Called before an interrupted file is closed, to be kept. */
  readonly onKeep?: () => void;
  /** About how many bytes go into each file. */
  readonly bytes: number;
  readonly largestFile?: number;
  /** An interrupted backup keeps a file of at least so many bytes. */
  readonly least?: number;
  /** The backup is interrupted, or its storage fails, once so many parts are stored ahead of it. */
  readonly interruptedAt?: number;
  readonly failsAt?: number;
  /** The backup's own file is lost once so many are. */
  readonly ownLostAt?: number;
}

export interface TestBackup {
  readonly backupId: string;
  readonly bytes: Buffer;
  readonly written: WrittenFile;
  readonly manifest: Manifest;
  /** How many bytes of volumes were read. */
  readonly read: number;
}

/**
 * A series made by coffer's writer, but read according to docs/archive-format.md with coffer's parsers only: whether a
 * backup is complete is decided without coffer's reader.
 */
export class SeriesOfFiles {
  /** The keys of all members that were sealed, in hex. */
  readonly keys: string[] = [];
  readonly #series = sampleFile().series;
  readonly #files: TestFile[] = [];
  readonly #lastMaps = new Map<string, VolumeMap>();
  #last: NamedFile | undefined;
  #sequence = 0;

  async backup(
    volumes: readonly TestVolume[],
    { full = false, grain = GRAIN, chunksInPart = 2, failing = false, ahead }: TestOptions = {},
  ): Promise<TestBackup> {
    const output = new MemoryOutput();
    const backupId = newId();
    const read = { bytes: 0 };
    const interrupted = new AbortController();
    const isFirst = this.#files.length === 0 && ahead === undefined;
    const options = {
      ...{ ...OPTIONS, series: this.#series, backupId, sequence: this.#sequence + 1 },
      ...{ previous: this.#last, cut: { grain, partSize: chunksInPart * grain } },
      earlier: isFirst || full ? undefined : this.#earlier(grain),
      ahead: ahead && this.#target(ahead, interrupted),
    };
    let written: WrittenFile;
    try {
      const contents = contentsOf(volumes, read, failing);
      written = await writeCoffer1(contents, output, options, interrupted.signal);
    } finally {
      this.#noteKeys(backupId, output.bytes);
    }
    const file = this.#add(written, written.ids, output.bytes);
    for (const map of written.maps) this.#lastMaps.set(map.origin, map);
    const manifest = parseManifest(await this.#plain(file, 'manifest.000'));
    return { backupId, bytes: output.bytes, written, manifest, read: read.bytes };
  }

  /** All stored files, in their order. */
  get files(): readonly { readonly backupId: string; readonly bytes: Buffer }[] {
    return this.#files;
  }

  async manifestOf(backupId: string): Promise<Manifest> {
    return parseManifest(await this.#plain(this.#file(backupId), 'manifest.000'));
  }

  #add(
    written: Pick<WrittenFile, 'name' | 'sequence' | 'table' | 'grain'>,
    ids: Iterable<Buffer>,
    bytes: Buffer,
  ): TestFile {
    const { backupId } = written.name;
    const members = new Map(membersOf(bytes).map(({ name, content }) => [name, content]));
    const file = { backupId, bytes, members, written, ids: Buffer.concat([...ids]) };
    this.#files.push(file);
    this.#last = written.name;
    this.#sequence = written.sequence;
    return file;
  }

  /** Stores data files, each of which exists once it is finished. */
  #target(ahead: TestAhead, interrupted: AbortController): DataTarget {
    const { interruptedAt = Infinity, failsAt = Infinity, ownLostAt = Infinity } = ahead;
    const filling = { bytes: ahead.bytes, milliseconds: Infinity };
    let parts = 0;
    return {
      limits: { own: filling, data: filling, least: ahead.least ?? 1 },
      largestFile: ahead.largestFile ?? Infinity,
      signal: never,
      onKeep: () => ahead.onKeep?.(),
      requireOwn: () => {
        if (parts >= ownLostAt) return Promise.reject(new Error('the test loses the file'));
        if (parts++ === interruptedAt) interrupted.abort(new Error('the test interrupts it'));
        return Promise.resolve();
      },
      open: () => {
        const output = new MemoryOutput();
        return Promise.resolve({
          write: (bytes) =>
            parts > failsAt ? Promise.reject(new Error('the test is full')) : output.write(bytes),
          finish: (written) => {
            this.#noteKeys(written.name.backupId, output.bytes);
            this.#add(written, written.ids, output.bytes);
            return Promise.resolve();
          },
          [Symbol.asyncDispose]: () => Promise.resolve(),
        });
      },
    };
  }

  /** Removes a file from the storage, and from dom0's records. */
  lose(backupId: string): void {
    const place = this.#files.findIndex((file) => file.backupId === backupId);
    this.#files.splice(place, 1);
  }

  /** Damages what dom0 has recorded of the ids of a file: that of one chunk. */
  spoilId(backupId: string, chunk: number): void {
    const { ids } = this.#file(backupId);
    ids[chunk * ID_LENGTH] = (ids[chunk * ID_LENGTH] ?? 0) ^ 1;
  }

  /** Reads a volume of a backup by its map, and checks its digest. */
  async restored(backupId: string, path: string): Promise<Buffer> {
    const map = await this.mapOf(backupId, path);
    const content = Buffer.alloc(map.size);
    const check = new ChunkIds(this.#series.key, map.domain);
    for (const { first, count, backup, part, offset } of map.runs) {
      const chunks = await this.#chunks(map.backups[backup] ?? '', part, map.grain);
      for (let i = 0; i < count; i++) {
        const chunk = chunks[offset + i];
        if (chunk === undefined) throw new Error(`part ${part} has no chunk ${offset + i}`);
        check.add(first + i, check.idOf(chunk));
        chunk.copy(content, (first + i) * map.grain);
      }
    }
    expect(check.digest()).toBe(map.digest);
    return content;
  }

  async mapOf(backupId: string, path: string): Promise<VolumeMap> {
    const text = await this.#plain(this.#file(backupId), `${mapPath(path)}.000`);
    return await parseMap(once(text), path, Number(/^grain (\d+)$/m.exec(text.toString())?.[1]));
  }

  async #chunks(backupId: string, part: number, grain: number): Promise<Buffer[]> {
    const name = `data.${String(part).padStart(3, '0')}`;
    const plain = await this.#plain(this.#file(backupId), name);
    parsePartText(plain.subarray(0, PART_TEXT_LENGTH), grain);
    const chunks: Buffer[] = [];
    for (let at = PART_TEXT_LENGTH; at < plain.length; at += grain) {
      chunks.push(plain.subarray(at, at + grain));
    }
    return chunks;
  }

  async #plain({ backupId, members }: TestFile, name: string): Promise<Buffer> {
    const key = { root: this.#series.key, backupId, encrypted: true };
    const [bytes, mac] = [members.get(name), members.get(`${name}.hmac`)];
    if (bytes === undefined || mac === undefined) throw new Error(`there is no ${name}`);
    return Buffer.concat([...(await openMember(key, name, bytes, mac.toString().trim()))]);
  }

  #file(backupId: string): TestFile {
    const file = this.#files.find((each) => each.backupId === backupId);
    if (file === undefined) throw new Error(`the file of ${backupId} is lost`);
    return file;
  }

  #earlier(grain: number) {
    const files = this.#files.filter(({ written }) => written.grain === grain).toReversed();
    return {
      files: files.map(({ backupId, written, ids }): EarlierFile => ({
        ...{ backupId, table: written.table },
        ids: (first, count) =>
          Promise.resolve(ids.subarray(first * ID_LENGTH, (first + count) * ID_LENGTH)),
      })),
      lastMap: (origin: string) => Promise.resolve(this.#lastMaps.get(origin)),
    };
  }

  #noteKeys(backupId: string, bytes: Buffer): void {
    for (const { name } of membersOf(bytes)) {
      if (name.endsWith('.hmac')) continue;
      const { enc, mac } = memberKeys(this.#series.key, backupId, name);
      this.keys.push(Buffer.from(enc).toString('hex'), Buffer.from(mac).toString('hex'));
    }
  }
}

async function* contentsOf(
  volumes: readonly TestVolume[],
  read: { bytes: number },
  failing: boolean,
): AsyncGenerator<Content> {
  yield { kind: 'file', path: 'qubes.xml', bytes: Buffer.from('<qubes/>') };
  for (const volume of volumes) yield await Promise.resolve(contentOf(volume, read));
  if (failing) throw new Error('the test ends this backup');
}

function contentOf(
  { path, domain, bytes, changed, check }: TestVolume,
  read: { bytes: number },
): VolumeContent {
  return {
    ...{ kind: 'volume', path, domain, origin: `of-${path}`, size: bytes.length, changed, check },
    extents: [{ offset: 0, length: bytes.length }],
    read: (buffer, offset) => {
      read.bytes += buffer.length;
      bytes.copy(buffer, 0, offset);
      return Promise.resolve();
    },
  };
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield await Promise.resolve(bytes);
}
