import { createHash, randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { ChunkIds } from '../../../dom0-agent/archive/coffer1/chunk-ids.ts';
import {
  type Coffer1Header,
  type FileKind,
  formatHeader,
} from '../../../dom0-agent/archive/coffer1/coffer1-header.ts';
import { deriveRootKey } from '../../../dom0-agent/archive/coffer1/keys.ts';
import {
  type Manifest,
  type ManifestFile,
  type ManifestMember,
  type NamedFile,
  formatManifest,
  lengthInTar,
} from '../../../dom0-agent/archive/coffer1/manifest.ts';
import { formatPartText } from '../../../dom0-agent/archive/coffer1/part-text.ts';
import { PartsTable } from '../../../dom0-agent/archive/coffer1/parts-table.ts';
import { formatPartsTable } from '../../../dom0-agent/archive/coffer1/parts-table-text.ts';
import { Runs } from '../../../dom0-agent/archive/coffer1/runs.ts';
import { sealMember } from '../../../dom0-agent/archive/coffer1/seal-member.ts';
import { newSeriesKey, wrapSeriesKey } from '../../../dom0-agent/archive/coffer1/series-key.ts';
import {
  type VolumeMap,
  formatMap,
  mapPath,
} from '../../../dom0-agent/archive/coffer1/volume-map.ts';
import { partName } from '../../../dom0-agent/archive/parts/part-name.ts';
import { scryptCost } from '../../../dom0-agent/archive/scrypt-cost.ts';
import { isZero } from '../../../shared/sparse-data.ts';
import { tarOf } from '../tar/tar-of.ts';
import { type Contents, GRAIN, PASSPHRASE } from './sample.ts';

/** Where a chunk is stored. */
interface Place {
  readonly backupId: string;
  readonly part: number;
  readonly offset: number;
  readonly id: Buffer;
}

/** A part as it is stored, with its fields in the table of parts. */
interface StoredPart {
  readonly bytes: Buffer;
  readonly mac: string;
  readonly chunks: number;
  readonly domain: string;
  readonly ids: Buffer;
}

interface Sealed {
  readonly name: string;
  readonly bytes: Buffer;
  readonly mac: string;
}

export interface SeriesOptions {
  readonly chunksInPart?: number;
  readonly compressionFilter?: 'gzip' | undefined;
}

/**
 * Makes the files of a series according to docs/archive-format.md, with coffer's codecs but without its writer, so that
 * they can be as unusual as the page allows: volumes of a few chunks, any mixture of filters, packs.
 */
export class SeriesMaker {
  readonly seriesId = randomBytes(16).toString('hex');
  readonly #key = newSeriesKey();
  #salt = randomBytes(32);
  #wrapped: ReturnType<typeof this.wrap>;
  #sequence = 0;
  #previous: NamedFile | undefined;
  /** The chunks of each volume in the last backup, by number. */
  readonly #last = new Map<string, Map<number, Place>>();
  /** All parts ever stored, by backup id. */
  readonly #parts = new Map<string, StoredPart[]>();

  constructor() {
    this.#wrapped = this.wrap(PASSPHRASE);
  }

  /** Sets another passphrase for the files made from now on. */
  changePassphrase(passphrase: string): void {
    this.#salt = randomBytes(32);
    this.#wrapped = this.wrap(passphrase);
  }

  /** Makes the next backup. It holds only new chunks of volumes (`.img`), or all with `full`. */
  async backup(
    contents: Contents,
    { chunksInPart = 2, compressionFilter }: SeriesOptions = {},
    full = false,
  ): Promise<{ readonly backupId: string; readonly bytes: Buffer }> {
    const backupId = randomBytes(16).toString('hex');
    const key = { root: this.#key, backupId, encrypted: true };
    const seal = async (name: string, plaintext: Buffer): Promise<Sealed> => {
      const bytes = compressionFilter === undefined ? Buffer.from(plaintext) : gzipSync(plaintext);
      return { name, bytes, mac: await sealMember(key, name, bytes) };
    };
    const parts: StoredPart[] = [];
    const [before, behind]: [Sealed[], Sealed[]] = [[], []];
    const files: ManifestFile[] = [];
    const maps: VolumeMap[] = [];
    const all: Contents = { 'qubes.xml': Buffer.from('<qubes/>'), ...contents };
    for (const [path, bytes] of Object.entries(all)) {
      if (!path.endsWith('.img')) {
        before.push(await seal(partName(path, 0).name, bytes));
        files.push({ path, size: bytes.length });
        continue;
      }
      const from = parts.length;
      const map = await this.#volume(path, bytes, backupId, parts, chunksInPart, seal, full);
      maps.push(map);
      files.push({
        path,
        size: bytes.length,
        volume: { chunks: map.chunks, parts: parts.length - from },
      });
    }
    this.#parts.set(backupId, parts);
    for (const map of maps)
      behind.push(
        await seal(partName(mapPath(map.path), 0).name, Buffer.concat([...formatMap(map)])),
      );
    const table = new PartsTable();
    for (const { bytes, chunks, domain } of parts)
      table.add({ size: bytes.length, chunks, domain });
    behind.push(...(await closing(table, parts, seal)));
    const streamable = maps.every(({ backups }) => backups.every((id) => id === backupId));
    const made = await this.#assemble(
      { ...this.#header(backupId, 'backup', compressionFilter, chunksInPart), streamable },
      before,
      parts.map((part, number) => ({ ...part, name: partName('data', number).name })),
      behind,
      { files, needs: this.#needsOf(maps, backupId), holds: [] },
      seal,
    );
    return { backupId, bytes: made };
  }

  /** Makes a pack of parts of other files: by backup id, the numbers of the parts, or all. */
  async pack(wanted: Readonly<Record<string, readonly number[] | 'all'>>): Promise<Buffer> {
    const backupId = randomBytes(16).toString('hex');
    const key = { root: this.#key, backupId, encrypted: true };
    const seal = async (name: string, plaintext: Buffer): Promise<Sealed> => {
      const bytes = Buffer.from(plaintext);
      return { name, bytes, mac: await sealMember(key, name, bytes) };
    };
    const table = new PartsTable();
    const moved: (StoredPart & { readonly name: string })[] = [];
    const holds: { backupId: string; parts: number }[] = [];
    for (const id of Object.keys(wanted).toSorted()) {
      const parts = this.#parts.get(id) ?? [];
      const numbers = wanted[id] === 'all' ? parts.map((_, number) => number) : (wanted[id] ?? []);
      for (const number of numbers) {
        const part = parts[number];
        if (part === undefined) throw new Error(`there is no part ${number}`);
        table.addMoved(id, number, { ...part, size: part.bytes.length });
        moved.push({ ...part, name: partName(`from/${id}/data`, number).name });
      }
      holds.push({ backupId: id, parts: numbers.length });
    }
    const behind = await closing(table, moved, seal);
    const header = { ...this.#header(backupId, 'pack', undefined, 32), streamable: false };
    return this.#assemble(header, [], moved, behind, { files: [], needs: [], holds }, seal);
  }

  wrap(passphrase: string) {
    const cost = scryptCost(14);
    return deriveRootKey(Buffer.from(passphrase), this.#salt, cost).then((root) =>
      wrapSeriesKey(root, this.seriesId, this.#key),
    );
  }

  #header(
    backupId: string,
    kind: FileKind,
    compressionFilter: 'gzip' | undefined,
    chunksInPart: number,
  ) {
    return {
      ...{ format: 'coffer-1' as const, backupId, seriesId: this.seriesId, kind, encrypted: true },
      ...{ compressionFilter, kdf: scryptCost(14), kdfSalt: this.#salt },
      ...{ grain: GRAIN, partSize: chunksInPart * GRAIN },
    };
  }

  async #volume(
    path: string,
    bytes: Buffer,
    backupId: string,
    parts: StoredPart[],
    chunksInPart: number,
    seal: (name: string, plaintext: Buffer) => Promise<Sealed>,
    full: boolean,
  ): Promise<VolumeMap> {
    const ids = new ChunkIds(this.#key, path);
    const last = this.#last.get(path);
    const present = new Map<number, Place>();
    let fresh: { number: number; chunk: Buffer; id: Buffer }[] = [];
    const texts: { number: number; chunk: Buffer; id: Buffer }[][] = [];
    for (let number = 0; number * GRAIN < bytes.length; number++) {
      const chunk = Buffer.alloc(GRAIN);
      bytes.copy(chunk, 0, number * GRAIN);
      if (isZero(chunk)) continue;
      const id = ids.idOf(chunk);
      ids.add(number, id);
      const known = full ? undefined : last?.get(number);
      if (known?.id.equals(id)) {
        present.set(number, known);
        continue;
      }
      fresh.push({ number, chunk, id });
      if (fresh.length === chunksInPart) texts.push(fresh.splice(0));
    }
    if (fresh.length > 0 || (texts.length === 0 && present.size === 0)) texts.push(fresh);
    fresh = [];
    for (const [index, chunks] of texts.entries()) {
      const part = parts.length;
      const runs = runsOf(chunks.map(({ number }) => number));
      const text = formatPartText({
        ...{
          path,
          size: bytes.length,
          domain: path,
          index,
          last: index === texts.length - 1,
          runs,
        },
      });
      const plaintext = Buffer.concat([text, ...chunks.map(({ chunk }) => chunk)]);
      const sealed = await seal(partName('data', part).name, plaintext);
      chunks.forEach(({ number, id }, offset) =>
        present.set(number, { backupId, part, offset, id }),
      );
      const stored = Buffer.concat(chunks.map(({ id }) => id));
      parts.push({ ...sealed, chunks: chunks.length, domain: path, ids: stored });
    }
    this.#last.set(path, present);
    const runs = new Runs();
    const backups: string[] = [];
    for (const [number, place] of [...present].toSorted(([one], [other]) => one - other)) {
      if (!backups.includes(place.backupId)) backups.push(place.backupId);
      const backup = backups.indexOf(place.backupId);
      runs.add({ first: number, count: 1, backup, part: place.part, offset: place.offset });
    }
    return {
      ...{ path, size: bytes.length, grain: GRAIN, domain: path, origin: path, backups, runs },
      ...{ chunks: present.size, digest: ids.digest() },
    };
  }

  #needsOf(maps: readonly VolumeMap[], backupId: string) {
    const needs = new Map<string, Set<number>>();
    for (const { backups, runs } of maps) {
      for (const { backup, part } of runs) {
        const id = backups[backup] ?? '';
        if (id !== backupId) needs.set(id, (needs.get(id) ?? new Set()).add(part));
      }
    }
    return [...needs]
      .map(([id, parts]) => ({ backupId: id, parts: parts.size }))
      .toSorted((one, other) => (one.backupId < other.backupId ? -1 : 1));
  }

  async #assemble(
    header: Omit<Coffer1Header, 'wrappedKey' | 'wrappedKeyMac'>,
    before: readonly Sealed[],
    data: readonly (Omit<StoredPart, 'ids'> & { readonly name: string })[],
    behind: readonly Sealed[],
    rest: Pick<Manifest, 'files' | 'needs' | 'holds'>,
    seal: (name: string, plaintext: Buffer) => Promise<Sealed>,
  ): Promise<Buffer> {
    const head = formatHeader({ ...header, ...(await this.#wrapped) });
    const { backupId } = header;
    const key = { root: this.#key, backupId, encrypted: false };
    const headMac = await sealMember(key, 'backup-header', Buffer.from(head));
    const members: ManifestMember[] = [
      { name: 'backup-header', size: head.length, mac: headMac },
      ...[...before, ...behind].map(({ name, bytes, mac }) => ({ name, size: bytes.length, mac })),
    ];
    this.#sequence++;
    const manifest = formatManifest({
      ...{ seriesId: this.seriesId, sequence: this.#sequence, previous: this.#previous, ...rest },
      made: new Date(Date.UTC(2026, 0, this.#sequence)).toISOString().replace('.000', ''),
      ...{ members, parts: data.length, partsBefore: before.length + 1 },
      partsLength: data.reduce((sum, { bytes }) => sum + lengthInTar(bytes.length), 0),
    });
    const sealed = await seal('manifest.000', manifest);
    this.#previous = { backupId, mac: sealed.mac };
    const stored = [
      { name: 'backup-header', bytes: head, mac: headMac },
      ...[...before, ...data, ...behind, sealed],
    ];
    return tarOf(
      stored.flatMap(({ name, bytes, mac }) => [
        [name, bytes] as const,
        [`${name}.hmac`, Buffer.from(`${mac}\n`)] as const,
      ]),
    );
  }
}

/** The table of parts and the ids of their chunks. */
async function closing(
  table: PartsTable,
  parts: readonly StoredPart[],
  seal: (name: string, plaintext: Buffer) => Promise<Sealed>,
): Promise<Sealed[]> {
  return [
    await seal('parts.000', Buffer.concat([...formatPartsTable(table)])),
    await seal('ids.000', Buffer.concat(parts.map(({ ids }) => ids))),
  ];
}

function runsOf(numbers: readonly number[]): { first: number; count: number }[] {
  const runs: { first: number; count: number }[] = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    if (last !== undefined && last.first + last.count === number) last.count++;
    else runs.push({ first: number, count: 1 });
  }
  return runs;
}

/** The bytes of a chunk, derived from a name. */
export function chunkOf(name: string): Buffer {
  const seed = createHash('sha256').update(name).digest();
  return Buffer.alloc(GRAIN, seed);
}
