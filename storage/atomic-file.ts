import { closeSync, constants, openSync } from 'node:fs';
import { link, lstat, open, rename, rm, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { ChildProcess } from '../shared/child-process.ts';
import { CleanupProcess } from '../shared/cleanup-process.ts';
import { systemCodeOf } from '../shared/errors.ts';
import { formatSize } from '../shared/sizes.ts';
import { BackgroundSync } from './background-sync.ts';
import type { LocalSink } from './local-streams.ts';
import { spaceIn } from './list-directory.ts';
import { requireDirectory, requirePlainName } from './resolve-path.ts';
import { StorageFailure, toStorageFailure } from './storage-failure.ts';

/** Added to the name while the file is not complete. */
const PARTIAL = '.partial';

/** Errors of `link` on file systems without hard links (FAT, some in user space). */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

/** Errors of file systems that cannot sync a directory. */
const NO_DIRECTORY_SYNC = ['EINVAL', 'ENOTSUP', 'ENOSYS', 'EBADF'];

/**
 * A new file that is complete, synced and under its final name, or not there at all. Until `finish` it is
 * `<name>.partial`, private to the user; if it is not finished it is removed, even if the program is killed.
 * Existing files are never overwritten.
 */
export class AtomicFile implements LocalSink {
  readonly path: string;
  readonly #partial: string;
  readonly #handle: FileHandle;
  readonly #cleanup: CleanupProcess;
  readonly #sync: BackgroundSync;
  #finishing: Promise<void> | undefined;
  #isPublished = false;
  #isAbandoned = false;

  private constructor(file: string, handle: FileHandle, cleanup: CleanupProcess) {
    this.path = file;
    this.#partial = file + PARTIAL;
    this.#handle = handle;
    this.#sync = new BackgroundSync(handle);
    this.#cleanup = cleanup;
  }

  /**
   * Creates the partial file.
   *
   * @param name one plain component
   * @param expectedBytes if the file system has less free space, this is refused at once, as NO_SPACE
   * @throws StorageFailure
   */
  static async create(
    directory: string,
    name: string,
    expectedBytes: number | undefined,
  ): Promise<AtomicFile> {
    requirePlainName(name);
    try {
      await requireSpace(directory, expectedBytes);
      const file = path.join(directory, name);
      await requireAbsent(file);
      const cleanup = createTemporary(file + PARTIAL);
      const { O_RDWR, O_NOFOLLOW } = constants;
      return new AtomicFile(file, await open(file + PARTIAL, O_RDWR | O_NOFOLLOW), cleanup);
    } catch (error) {
      throw toStorageFailure(error);
    }
  }

  /** How many bytes a completed sync covers. */
  get safeBytes(): number {
    return this.#sync.safeBytes;
  }

  async write(bytes: Buffer): Promise<void> {
    try {
      for (let done = 0; done < bytes.length;) {
        done += (await this.#handle.write(bytes, done)).bytesWritten;
      }
      this.#sync.wrote(bytes.length);
    } catch (error) {
      throw toStorageFailure(error);
    }
  }

  finish(): Promise<void> {
    this.#finishing ??= this.#syncAndPublish();
    return this.#finishing;
  }

  async #syncAndPublish(): Promise<void> {
    try {
      await this.#sync.finish();
      await this.#handle.close();
      if (this.#isAbandoned) throw new StorageFailure('IO', `${this.path} was given up`);
      await moveWithoutOverwriting(this.#partial, this.path);
      this.#isPublished = true;
      this.#cleanup.cancel();
      await syncName(this.path);
    } catch (error) {
      throw toStorageFailure(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isAbandoned = true;
    await Promise.allSettled([this.#sync.idle(), this.#finishing]);
    if (this.#isPublished) return;
    await this.#handle.close();
    await rm(this.#partial, { force: true });
    this.#cleanup.cancel();
  }
}

/**
 * Creates an empty file that is removed when this program is killed. Both at once, since it may be killed between any two
 * turns of the event loop. Not the other way round: the file of another program, which has it already, must stay.
 */
function createTemporary(file: string): CleanupProcess {
  closeSync(openSync(file, 'wx', 0o600));
  return CleanupProcess.toRemove(file);
}

async function requireSpace(directory: string, expectedBytes: number | undefined): Promise<void> {
  await requireDirectory(directory);
  const { freeBytes } = await spaceIn(directory);
  if (expectedBytes !== undefined && expectedBytes > freeBytes) {
    const sizes = `${formatSize(expectedBytes)} needed, ${formatSize(freeBytes)} free`;
    throw new StorageFailure('NO_SPACE', `not enough space: ${sizes}`);
  }
}

async function requireAbsent(file: string): Promise<void> {
  try {
    await lstat(file);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return;
    throw error;
  }
  throw new StorageFailure('EXISTS', `${file} already exists`);
}

/**
 * A hard link fails if the name exists; a rename would overwrite it. Without hard links, a rename after a check has to
 * do: two runs of coffer cannot have the same partial file, so only another program could interfere.
 */
async function moveWithoutOverwriting(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (!NO_LINKS.includes(systemCodeOf(error) ?? '')) throw error;
    await requireAbsent(to);
    await rename(from, to);
    return;
  }
  await unlink(from);
}

/** Makes the new name itself survive a power failure, if the file system can. */
async function syncName(file: string): Promise<void> {
  const handle = await open(path.dirname(file), 'r').catch((error: unknown) => {
    // A directory that is writable but not readable: only the whole file system can be synced.
    if (systemCodeOf(error) === 'EACCES') return undefined;
    throw error;
  });
  if (handle === undefined) return syncFileSystem(file);
  try {
    await handle.sync();
  } catch (error) {
    if (!NO_DIRECTORY_SYNC.includes(systemCodeOf(error) ?? '')) throw error;
  } finally {
    await handle.close();
  }
}

/** syncfs(2), which Node does not have. */
async function syncFileSystem(file: string): Promise<void> {
  await using sync = new ChildProcess(['sync', '--file-system', file], { stdout: 'ignore' });
  const { exitStatus } = await sync.ended;
  if (exitStatus !== 0) throw new StorageFailure('IO', `${file} is complete, but sync failed`);
}
