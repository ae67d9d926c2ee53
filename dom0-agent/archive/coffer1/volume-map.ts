import { MOST_CHUNKS, MOST_CHUNKS_IN_PART } from './coffer1-header.ts';
import { MOST_PARTS } from './parts-table.ts';
import { MOST_BACKUPS, type Run, Runs, continues } from './runs.ts';
import { NUMBER, WORD, textLines, textPieces, invalid } from './text-lines.ts';

/** Where each chunk of a volume is stored. A chunk that is in no run is all zeros. */
export interface VolumeMap {
  /** `vm5/private.img` */
  readonly path: string;
  /** The size of the volume in bytes. */
  readonly size: number;
  /** The size of a chunk in bytes. */
  readonly grain: number;
  readonly domain: string;
  /** Identifies the volume and its VM, whatever the VM's name: `<uuid>/private`. */
  readonly origin: string;
  /** The ids of the files in which its parts were first stored, in the order in which the runs first name them. */
  readonly backups: readonly string[];
  readonly runs: Runs;
  /** How many chunks are in runs. */
  readonly chunks: number;
  /** As `ChunkIds.digest`. */
  readonly digest: string;
}

/** The path of a volume's map, without the part number. */
export function mapPath(volumePath: string): string {
  return volumePath.replace(/\.img$/, '.map');
}

/** The text of a map, in pieces. */
export function formatMap(map: VolumeMap): Generator<Buffer, void, undefined> {
  return textPieces(mapLines(map));
}

function* mapLines(map: VolumeMap): Generator<string, void, undefined> {
  yield 'coffer-1 map';
  yield `volume ${map.path}`;
  yield `size ${map.size}`;
  yield `grain ${map.grain}`;
  yield `domain ${map.domain}`;
  yield `origin ${map.origin}`;
  for (const [place, id] of map.backups.entries()) yield `backup ${place} ${id}`;
  for (const { first, count, backup, part, offset } of map.runs) {
    yield `run ${first} ${count} ${backup} ${part} ${offset}`;
  }
  yield `end ${map.runs.length} ${map.chunks} ${map.digest}`;
}

const HEAD = new RegExp(
  `^coffer-1 map\\nvolume (${WORD})\\nsize (${NUMBER})\\ngrain (${NUMBER})\\n` +
    `domain (${WORD})\\norigin (${WORD})$`,
);
const HEAD_LINES = 6;
const BACKUP = new RegExp(`^backup (${NUMBER}) ([0-9a-f]{32})$`);
const RUN = new RegExp(`^run (${NUMBER}) (${NUMBER}) (${NUMBER}) (${NUMBER}) (${NUMBER})$`);
const END = new RegExp(`^end (${NUMBER}) (${NUMBER}) ([0-9a-f]{64})$`);

/**
 * Parses the text of a map, which comes in pieces and is authentic. Throws DamagedError unless it is exactly as
 * `formatMap` writes it. Takes 12 bytes for each run.
 *
 * @param path the volume that it must be of; undefined: any
 * @param grain what the map must say, too
 */
export async function parseMap(
  pieces: AsyncIterable<Buffer>,
  path: string | undefined,
  grain: number,
): Promise<VolumeMap> {
  const what = path === undefined ? 'a map' : `the map of ${path}`;
  const parser = new MapParser(path, grain);
  for await (const lines of textLines(pieces, what)) {
    for (const line of lines) if (!parser.take(line)) throw invalid(what);
  }
  const map = parser.map();
  if (map === undefined) throw invalid(what);
  return map;
}

class MapParser {
  #path: string | undefined;
  readonly #grain: number;
  #head: string[] = [];
  #size = 0;
  #domain = '';
  #origin = '';
  readonly #backups: string[] = [];
  /** How many of the backups the runs have named. */
  #named = 0;
  readonly #runs = new Runs();
  #last: Run | undefined;
  #chunks = 0;
  #digest: string | undefined;

  constructor(path: string | undefined, grain: number) {
    this.#path = path;
    this.#grain = grain;
  }

  /** Takes the next line. Returns whether it is valid there. */
  take(line: string): boolean {
    if (this.#digest !== undefined) return false;
    if (this.#head.length < HEAD_LINES) return this.#takeHead(line);
    if (line.startsWith('run ')) return this.#takeRun(line);
    if (line.startsWith('backup ')) return this.#takeBackup(line);
    return this.#takeEnd(line);
  }

  /** Undefined if the text ended too early. */
  map(): VolumeMap | undefined {
    if (this.#digest === undefined || this.#path === undefined) return undefined;
    return {
      ...{ path: this.#path, size: this.#size, grain: this.#grain },
      ...{ domain: this.#domain, origin: this.#origin },
      ...{ backups: this.#backups, runs: this.#runs, chunks: this.#chunks, digest: this.#digest },
    };
  }

  #takeHead(line: string): boolean {
    this.#head.push(line);
    if (this.#head.length < HEAD_LINES) return true;
    const [, path, size, grain, domain = '', origin = ''] = HEAD.exec(this.#head.join('\n')) ?? [];
    this.#size = Number(size);
    this.#domain = domain;
    this.#origin = origin;
    this.#path ??= path;
    const isOurs = path === this.#path && Number(grain) === this.#grain;
    return isOurs && this.#chunksInVolume <= MOST_CHUNKS;
  }

  #takeBackup(line: string): boolean {
    const [, place, id] = BACKUP.exec(line) ?? [];
    if (id === undefined || this.#last !== undefined || this.#backups.includes(id)) return false;
    this.#backups.push(id);
    return Number(place) === this.#backups.length - 1 && this.#backups.length <= MOST_BACKUPS;
  }

  #takeRun(line: string): boolean {
    const match = RUN.exec(line);
    if (match === null) return false;
    const [first = 0, count = 0, backup = 0, part = 0, offset = 0] = match.slice(1).map(Number);
    const run = { first, count, backup, part, offset };
    const last = this.#last;
    if (count < 1 || offset + count > MOST_CHUNKS_IN_PART || part >= MOST_PARTS) return false;
    if (first + count > this.#chunksInVolume) return false;
    if (last !== undefined && (first < last.first + last.count || continues(last, run))) {
      return false;
    }
    if (backup > this.#named || backup >= this.#backups.length) return false;
    if (backup === this.#named) this.#named++;
    this.#runs.add(run);
    this.#last = run;
    this.#chunks += count;
    return true;
  }

  #takeEnd(line: string): boolean {
    const [, runs, chunks, digest] = END.exec(line) ?? [];
    this.#digest = digest;
    return (
      Number(runs) === this.#runs.length &&
      Number(chunks) === this.#chunks &&
      this.#named === this.#backups.length
    );
  }

  get #chunksInVolume(): number {
    return Math.ceil(this.#size / this.#grain);
  }
}
