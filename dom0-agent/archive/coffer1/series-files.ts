import type { FileRange, OpenedDirectory } from '../../../shared/byte-streams.ts';
import { DamagedError, RefusedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { Semaphore } from '../../../shared/semaphore.ts';
import { beginningOf } from './beginning.ts';
import { type BegunReading, openClaim } from './open-series-file.ts';
import { SeriesFile } from './series-file.ts';

/** The directory that a backup is in. */
export interface Siblings {
  readonly directory: OpenedDirectory;
  /** The names of its files, in the order in which they are tried. */
  readonly untrustedNames: () => Promise<readonly string[]>;
}

/** How many headers are read at the same time. */
const AT_ONCE = 16;
/** How many files are opened at the same time. */
const OPENED_AT_ONCE = 8;

/** A file of the series, or one that claims to be. */
export interface FoundFile {
  /** Printable. */
  readonly name: string;
  /** If it is damaged, the one that it claims. */
  readonly backupId: string;
  /** In bytes. */
  readonly size: number;
  readonly file: SeriesFile | DamagedError;
}

/** What a file of the directory claims to be. */
interface Claim extends BegunReading {
  readonly isPack: boolean;
}

/**
 * The files of the series that a backup belongs to, found in its directory by what their headers say. Names and headers
 * are untrusted: a file only counts as what it claims to be once it has been authenticated.
 */
export class SeriesFiles {
  readonly #main: SeriesFile;
  readonly #siblings: Siblings | undefined;
  /** By backup id. Of several files that claim the same one, only one can be authentic. */
  readonly #claims = new Map<string, Claim[]>();
  /** How many files claim to be of other series. */
  #ofOthers = 0;
  /** The names of the files whose headers have not been read yet. */
  #left: string[] | undefined;
  readonly #files = new Map<string, Promise<SeriesFile | DamagedError | undefined>>();
  readonly #names = new Map<string, string>();

  constructor(main: SeriesFile, siblings: Siblings | undefined) {
    this.#main = main;
    this.#siblings = siblings;
    this.#files.set(main.backupId, Promise.resolve(main));
  }

  /**
   * The file with an id; the reason, if it is damaged; undefined if there is none. Reads only as many headers as
   * necessary.
   */
  file(backupId: string): Promise<SeriesFile | DamagedError | undefined> {
    let found = this.#files.get(backupId);
    if (found === undefined) {
      found = this.#find(backupId);
      this.#files.set(backupId, found);
    }
    return found;
  }

  /**
   * Opens files and reads their tables of parts, several at a time, as each takes some short runs of the decompressor.
   * If one is damaged or missing, `file` reports it later.
   */
  async openAhead(backupIds: readonly string[]): Promise<void> {
    const unknown = backupIds.filter((backupId) => !this.#files.has(backupId));
    // For a backup that needs no other file, the directory is not even listed.
    if (unknown.length === 0) return;
    await this.#lookInto(() => unknown.every((backupId) => this.#claims.has(backupId)));
    const opening = new Semaphore(OPENED_AT_ONCE);
    const open = async (backupId: string): Promise<void> => {
      const file = await this.file(backupId);
      if (file instanceof SeriesFile) await file.parts();
    };
    await Promise.allSettled(unknown.map((backupId) => opening.run(() => open(backupId))));
  }

  /** All files in the directory that are of the series, or claim to be. */
  async all(): Promise<FoundFile[]> {
    await this.#lookInto(() => false);
    const found: FoundFile[] = [];
    for (const [backupId, claims] of this.#claims) {
      const whole = await this.file(backupId);
      for (const { untrustedName, input } of claims) {
        const isIt = whole instanceof SeriesFile && whole.input === input;
        const damage =
          whole instanceof DamagedError ? whole : new DamagedError('another file has its id');
        found.push({
          ...{ name: printable(untrustedName), backupId, size: input.size },
          file: isIt ? whole : damage,
        });
      }
    }
    return found;
  }

  /** How many files in the directory claim to be of other series. */
  async ofOthers(): Promise<number> {
    await this.#lookInto(() => false);
    return this.#ofOthers;
  }

  /** The packs of the series that are not damaged. */
  async packs(): Promise<SeriesFile[]> {
    await this.#lookInto(() => false);
    const packs: SeriesFile[] = [];
    for (const [backupId, claims] of this.#claims) {
      if (!claims.some(({ isPack }) => isPack)) continue;
      const file = await this.file(backupId);
      if (file instanceof SeriesFile && file.manifest.holds.length > 0) packs.push(file);
    }
    return packs;
  }

  /** The name of a file, printable; undefined for the backup itself. */
  nameOf(backupId: string): string | undefined {
    return this.#names.get(backupId);
  }

  /** The bytes of ranges of the series' files. */
  read(ranges: Iterable<FileRange>): AsyncIterable<Buffer> {
    return this.#siblings?.directory.read(ranges) ?? oneByOne(ranges);
  }

  async #find(backupId: string): Promise<SeriesFile | DamagedError | undefined> {
    await this.#lookInto(() => this.#claims.has(backupId));
    let damage: DamagedError | undefined;
    for (const claim of this.#claims.get(backupId) ?? []) {
      this.#names.set(backupId, printable(claim.untrustedName));
      try {
        return await this.#open(claim);
      } catch (error) {
        if (!(error instanceof DamagedError)) throw error;
        damage = error;
      }
    }
    return damage;
  }

  async #open(claim: Claim): Promise<SeriesFile> {
    const { header, key, signal } = this.#main.opened;
    const { file } = await openClaim(claim, key.root, signal);
    if (file.opened.header.grain === header.grain) return file;
    throw new DamagedError(`${printable(claim.untrustedName)}: its chunks have another size`);
  }

  /** Reads headers until `isEnough`, or until there are no more files. */
  async #lookInto(isEnough: () => boolean): Promise<void> {
    this.#left ??= [...((await this.#siblings?.untrustedNames()) ?? [])].reverse();
    while (this.#left.length > 0 && !isEnough()) {
      const some = this.#left.splice(-AT_ONCE).reverse();
      await Promise.all(some.map((untrustedName) => this.#noteClaim(untrustedName)));
    }
  }

  /** Notes what a file claims to be. One that cannot be opened, or is not of the series, is ignored. */
  async #noteClaim(untrustedName: string): Promise<void> {
    if (this.#siblings === undefined) return;
    try {
      const input = await this.#siblings.directory.open(untrustedName);
      const beginning = await beginningOf(input);
      if (beginning === undefined) return;
      const { untrustedFields } = beginning;
      const untrustedId = untrustedFields.get('backup-id') ?? '';
      const untrustedSeries = untrustedFields.get('series-id');
      const isOurs = untrustedSeries === this.#main.opened.header.seriesId;
      if (!isOurs && untrustedSeries !== undefined) this.#ofOthers++;
      if (!isOurs || !/^[0-9a-f]{32}$/.test(untrustedId)) return;
      const isPack = untrustedFields.get('kind') === 'pack';
      const claim = { untrustedName, input, beginning, isPack };
      this.#claims.set(untrustedId, [...(this.#claims.get(untrustedId) ?? []), claim]);
    } catch (error) {
      if (error instanceof DamagedError || error instanceof RefusedError) return;
      throw error;
    }
  }
}

async function* oneByOne(ranges: Iterable<FileRange>): AsyncGenerator<Buffer, void, undefined> {
  for (const { file, from, to } of ranges) yield* file.read(from, to);
}
