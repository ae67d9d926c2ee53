import { Dom0Storage } from '../../dom0-agent/transport/dom0-storage.ts';
import type { Assembly, DeletedBackup, FileTarget } from '../../dom0-agent/transport/storage.ts';

/** What a storage is asked to do, step by step. */
export type StorageStep =
  'open assembly' | 'write' | 'copy' | 'finish' | 'browse' | 'ask' | 'delete';

/** A directory of dom0, each use of which can be made to fail, or to do something else first. */
export class FaultyStorage extends Dom0Storage {
  /** The steps so far. */
  readonly steps: StorageStep[] = [];
  readonly #before: (step: StorageStep, number: number) => void;
  readonly #after: (step: StorageStep, fileName: string) => void;

  /**
   * @param before called with each step and its number, from 0: may throw
   * @param after called when a step is done, with the name of the file that it was about
   */
  constructor(
    before: (step: StorageStep, number: number) => void,
    after: (step: StorageStep, fileName: string) => void = () => undefined,
  ) {
    super();
    this.#before = before;
    this.#after = after;
  }

  override async openAssembly(
    target: FileTarget,
    expectedBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<Assembly> {
    this.#step('open assembly');
    const assembly = await super.openAssembly(target, expectedBytes, signal);
    return {
      location: assembly.location,
      space: assembly.space,
      get confirmedBytes() {
        return assembly.confirmedBytes;
      },
      requireOpen: () => assembly.requireOpen(),
      write: (bytes) => {
        this.#step('write');
        return assembly.write(bytes);
      },
      copy: (fileName, offset, length) => {
        this.#step('copy');
        return assembly.copy(fileName, offset, length);
      },
      finish: async () => {
        this.#step('finish');
        const stored = await assembly.finish();
        this.#after('finish', target.fileName);
        return stored;
      },
      [Symbol.asyncDispose]: () => assembly[Symbol.asyncDispose](),
    };
  }

  override async browse(directory: string, signal: AbortSignal) {
    this.#step('browse');
    return super.browse(directory, signal);
  }

  /** One file at a time: the storage may fail between two. */
  override async deleteBackups(
    directory: string,
    fileNames: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly DeletedBackup[]> {
    if (fileNames.length === 0) this.#step('ask');
    const deletions: DeletedBackup[] = [];
    for (const fileName of fileNames) {
      this.#step('delete');
      deletions.push(...(await super.deleteBackups(directory, [fileName], signal)));
      this.#after('delete', fileName);
    }
    return deletions;
  }

  #step(step: StorageStep): void {
    this.#before(step, this.steps.length);
    this.steps.push(step);
  }
}
