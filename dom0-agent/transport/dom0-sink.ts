import { createHash } from 'node:crypto';
import { untilAborted } from '../../protocol/timeout.ts';
import type { ByteTarget } from '../../storage/byte-streams.ts';
import { spaceIn } from '../../storage/list-directory.ts';
import type { Space } from '../../shared/space.ts';
import { CommandTarget } from '../../storage/shell-command.ts';
import { WholeFile } from '../../storage/whole-file.ts';
import { explain } from './storage-errors.ts';
import { locationIn, placeOf, resolvePath } from './location.ts';
import type { Place } from './location.ts';
import type { Sink, StoredArchive, StoreTarget } from './storage.ts';

/** An archive on its way into a directory of dom0, or into a command that runs in dom0. */
export class Dom0Sink implements Sink {
  readonly location: string;
  readonly space: Space;
  readonly #place: Place;
  readonly #target: ByteTarget;
  readonly #signal: AbortSignal;
  readonly #hash = createHash('sha256');
  #bytes = 0;

  private constructor(place: Place, target: ByteTarget, space: Space, signal: AbortSignal) {
    this.#place = place;
    this.#target = target;
    this.#signal = signal;
    this.location = locationIn(place.owner, target.path);
    this.space = space;
  }

  static async open(
    target: StoreTarget,
    expectedBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<Dom0Sink> {
    const place = placeOf('dom0', target);
    try {
      signal.throwIfAborted();
      const opened = await openTarget(target, expectedBytes);
      const space = 'command' in target ? {} : await spaceIn(resolvePath(target.directory));
      return new Dom0Sink(place, opened, space, signal);
    } catch (error) {
      throw explain(error, place, false);
    }
  }

  async write(bytes: Buffer): Promise<void> {
    const writing = this.#target.write(bytes);
    // While the write is under way.
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
    await this.#orExplain(writing);
  }

  async finish(): Promise<StoredArchive> {
    await this.#orExplain(this.#target.finish());
    const { location, path } = { location: this.location, path: this.#target.path };
    return { location, path, bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }

  async #orExplain(step: Promise<void>): Promise<void> {
    try {
      await untilAborted(step, this.#signal);
    } catch (error) {
      throw explain(error, this.#place, true);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#target[Symbol.asyncDispose]();
  }
}

async function openTarget(
  target: StoreTarget,
  expectedBytes: number | undefined,
): Promise<ByteTarget> {
  if ('command' in target) return new CommandTarget(target.command);
  return WholeFile.create(resolvePath(target.directory), target.fileName, expectedBytes);
}
