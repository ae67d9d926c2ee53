import { ByteReader } from '../../../shared/byte-reader.ts';
import { DamagedError, messageOf } from '../../../shared/errors.ts';
import { type CheckedFile, LARGEST_QUBES_XML, QUBES_XML } from '../archive.ts';
import { ChunkIds, ID_LENGTH } from './chunk-ids.ts';
import { rankOf } from './chunk-mask.ts';
import { LocatedParts } from './located-parts.ts';
import { IDS_PATH } from './member-paths.ts';
import { authenticateParts, openParts } from './open-parts.ts';
import { storedParts } from './planned-parts.ts';
import { SeriesFile } from './series-file.ts';
import type { SeriesFiles } from './series-files.ts';
import { wholeOf } from './small-files.ts';
import { mapPath, parseMap } from './volume-map.ts';

/**
 * Checks all files of a series that are in its directory. In each, every member is authenticated, every part is opened
 * once, and the ids of its chunks are computed again. Then the maps of all backups are compared with those ids; no part
 * is read again for that. Holds 16 bytes for each chunk of the series.
 *
 * @param progress called with the number of bytes of chunks that were checked
 * @param only the ids of the files to check, each by itself, without maps; undefined: all files, and maps
 */
export async function checkSeries(
  files: SeriesFiles,
  progress: (bytes: number) => void,
  only?: ReadonlySet<string>,
): Promise<CheckedFile[]> {
  const all = (await files.all()).filter(({ backupId }) => only?.has(backupId) ?? true);
  const ids = new Map<SeriesFile, FileIds>();
  const checked: CheckedFile[] = [];
  for (const { name, backupId, size, file } of all) {
    if (file instanceof DamagedError) {
      const damages = [messageOf(file)];
      checked.push({ ...UNREADABLE, name, backupId, size, damages });
      continue;
    }
    const found = await checkFile(file, files, progress);
    if (found.ids !== undefined) ids.set(file, found.ids);
    const { made, sequence } = file.manifest;
    const { kind } = file.opened.header;
    checked.push({
      ...{ name, backupId, size, kind, made: new Date(made), sequence },
      isIntact: found.damages.length === 0,
      ...{ damages: found.damages, ...NO_VOLUMES },
    });
  }
  if (only !== undefined) return checked.toSorted(byNumber);
  for (const [at, { file }] of all.entries()) {
    const found = checked[at];
    if (file instanceof DamagedError || found === undefined) continue;
    const volumes = await checkMaps(file, files, ids);
    checked[at] = { ...found, volumes, qubesXml: await qubesXmlOf(file, volumes.length > 0) };
  }
  return checked.toSorted(byNumber);
}

/** Undefined if it is not wanted, or if it is damaged, which has been reported already. */
async function qubesXmlOf(file: SeriesFile, isWanted: boolean): Promise<string | undefined> {
  if (!isWanted) return undefined;
  try {
    return (await wholeOf(file.contentOf(QUBES_XML), LARGEST_QUBES_XML, QUBES_XML)).toString();
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    return undefined;
  }
}

function byNumber({ sequence: one }: CheckedFile, { sequence: other }: CheckedFile): number {
  return (one ?? 0) - (other ?? 0);
}

const NO_VOLUMES = { volumes: [], qubesXml: undefined };
const UNREADABLE = {
  ...{ isIntact: false, kind: undefined, made: undefined, sequence: undefined },
  ...NO_VOLUMES,
};

/** The ids of the chunks in a file, by row of its parts. */
class FileIds {
  /** The rows of parts that are damaged. */
  readonly damaged = new Set<number>();
  readonly #ids: Buffer;
  /** For each row, the number of its first chunk among all chunks in the file. */
  readonly #first: Uint32Array;

  constructor(ids: Buffer, first: Uint32Array) {
    this.#ids = ids;
    this.#first = first;
  }

  of(row: number, chunk: number): Buffer {
    const at = ((this.#first[row] ?? 0) + chunk) * ID_LENGTH;
    return this.#ids.subarray(at, at + ID_LENGTH);
  }
}

async function checkFile(
  file: SeriesFile,
  files: SeriesFiles,
  progress: (bytes: number) => void,
): Promise<{ ids: FileIds | undefined; damages: string[] }> {
  try {
    const ids = await readIds(file);
    const damages = await checkParts(file, files, ids, progress);
    await authenticateParts(file.storedRest(), file.opened.key);
    return { ids, damages };
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    return { ids: undefined, damages: [messageOf(error)] };
  }
}

async function readIds(file: SeriesFile): Promise<FileIds> {
  const { table } = await file.parts();
  const first = new Uint32Array(table.length);
  let chunks = 0;
  for (let row = 0; row < table.length; row++) {
    first[row] = chunks;
    chunks += table.at(row).chunks;
  }
  await using bytes = new ByteReader(file.contentOf(IDS_PATH), 'the list of ids');
  const ids = await bytes.exact(chunks * ID_LENGTH);
  if (!(await bytes.ended())) throw new DamagedError('the list of ids has more chunks');
  return new FileIds(ids, first);
}

/** What is wrong with the parts in a file. */
async function checkParts(
  file: SeriesFile,
  files: SeriesFiles,
  ids: FileIds,
  progress: (bytes: number) => void,
): Promise<string[]> {
  const parts = await file.parts();
  const { key, header } = file.opened;
  const damages: string[] = [];
  const computed = new Map<string, ChunkIds>();
  let row = 0;
  const all = function* () {
    for (let each = 0; each < parts.table.length; each++) yield { file, parts, row: each };
  };
  for await (const part of openParts(storedParts(all, files), file.opened)) {
    const { domain, number } = parts.table.at(row);
    const domainIds = computed.get(domain) ?? new ChunkIds(key.root, domain);
    computed.set(domain, domainIds);
    let isSound = !('damage' in part);
    if (!('damage' in part)) {
      let chunk = 0;
      for await (const bytes of part.chunks()) {
        isSound &&= domainIds.idOf(bytes).equals(ids.of(row, chunk++));
        progress(header.grain);
      }
      isSound &&= chunk === parts.table.at(row).chunks;
    }
    if (!isSound) {
      ids.damaged.add(row);
      damages.push(
        'damage' in part ? part.damage.message : `part ${number} has other chunks than its ids say`,
      );
    }
    row++;
  }
  return damages;
}

/** What is wrong with the volumes of a backup, by the ids of the chunks that its maps name. */
async function checkMaps(
  file: SeriesFile,
  files: SeriesFiles,
  ids: ReadonlyMap<SeriesFile, FileIds>,
): Promise<CheckedFile['volumes']> {
  const damages: { path: string; damage: DamagedError }[] = [];
  for (const { path, volume } of file.manifest.files) {
    if (volume === undefined) continue;
    try {
      await checkMap(path, file, files, ids);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      damages.push({ path, damage: error });
    }
  }
  return damages;
}

async function checkMap(
  path: string,
  file: SeriesFile,
  files: SeriesFiles,
  ids: ReadonlyMap<SeriesFile, FileIds>,
): Promise<void> {
  const { header, key } = file.opened;
  const map = await parseMap(file.contentOf(mapPath(path)), path, header.grain);
  const located = await LocatedParts.of(map, files);
  const digest = new ChunkIds(key.root, map.domain);
  for (const run of map.runs) {
    const place = located.at(located.partOf(run));
    const known = ids.get(place.file);
    if (known === undefined || known.damaged.has(place.row)) {
      throw new DamagedError('a part that it needs is damaged');
    }
    const from = rankOf(place.parts.table.at(place.row).mask, run.offset);
    for (let i = 0; i < run.count; i++) digest.add(run.first + i, known.of(place.row, from + i));
  }
  if (digest.digest() !== map.digest) {
    throw new DamagedError('it does not match its map');
  }
}
