import { createHash } from 'node:crypto';
import { untilAborted } from '../../protocol/timeout.ts';
import type { LocalSink } from '../../storage/local-streams.ts';
import type { Space } from '../../shared/space.ts';
import { CommandSink } from '../../storage/shell-command.ts';
import { type NewFile, newFileIn } from '../../storage/new-file.ts';
import { openDirectory } from '../../storage/open-directory.ts';
import { toUserError } from './storage-errors.ts';
import { FileRanges } from '../../storage/file-ranges.ts';
import { FailedError } from '../../shared/errors.ts';
import { locationIn, placeOf } from './location.ts';
import type { NamedPlace } from './location.ts';
import type { Assembly, StoredArchive, StoreTarget } from './storage.ts';

interface OpenedTarget extends NewFile {
  /** Other files in its directory, to copy from; undefined for a command. */
  readonly others: FileRanges | undefined;
}

/** Writes an archive to a directory in dom0, or to a command that runs in dom0. */
export class Dom0Sink implements Assembly {
  readonly location: string;
  readonly space: Space;
  readonly #place: NamedPlace;
  readonly #target: LocalSink;
  readonly #others: FileRanges | undefined;
  readonly #signal: AbortSignal;
  readonly #hash = createHash('sha256');
  #bytes = 0;

  private constructor(
    place: NamedPlace,
    { target, others, space }: OpenedTarget,
    signal: AbortSignal,
  ) {
    this.#place = place;
    this.#target = target;
    this.#others = others;
    this.#signal = signal;
    this.location = locationIn(place.owner, target.path);
    this.space = space;
  }

  /** @param through a shell command that gives access to the directory */
  static async open(
    target: StoreTarget,
    expectedBytes: number | undefined,
    signal: AbortSignal,
    through?: string,
  ): Promise<Dom0Sink> {
    const place = placeOf('dom0', target);
    try {
      signal.throwIfAborted();
      return new Dom0Sink(place, await openTarget(target, expectedBytes, through, signal), signal);
    } catch (error) {
      throw toUserError(error, place, false);
    }
  }

  get confirmedBytes(): number {
    return this.#target.safeBytes;
  }

  async write(bytes: Buffer): Promise<void> {
    const writing = this.#target.write(bytes);
    // While the write is in progress.
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
    await this.#orUserError(writing);
  }

  requireOpen(): Promise<void> {
    return this.#orUserError(Promise.resolve());
  }

  async copy(fileName: string, offset: number, length: number): Promise<void> {
    if (this.#others === undefined) throw new FailedError('a command has no files to copy from');
    this.#bytes += length;
    await this.#orUserError(this.#others.copy(fileName, offset, length, this.#target));
  }

  async finish(): Promise<StoredArchive> {
    await this.#orUserError(this.#target.finish());
    const { path } = this.#target;
    const sha256 = this.#hash.digest('hex');
    return { location: this.location, path, bytes: this.#bytes, sha256 };
  }

  async #orUserError(step: Promise<void>): Promise<void> {
    try {
      await untilAborted(step, this.#signal);
    } catch (error) {
      throw toUserError(error, this.#place, true);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#others?.[Symbol.asyncDispose]();
    await this.#target[Symbol.asyncDispose]();
  }
}

async function openTarget(
  target: StoreTarget,
  expectedBytes: number | undefined,
  through: string | undefined,
  signal: AbortSignal,
): Promise<OpenedTarget> {
  if ('command' in target) {
    return { target: new CommandSink(target), others: undefined, space: {} };
  }
  const named = { directory: target.directory, through };
  const place = openDirectory(process.cwd(), named, signal);
  const file = await newFileIn(place, target.fileName, expectedBytes);
  return { ...file, others: new FileRanges(place) };
}
