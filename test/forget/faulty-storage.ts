import { Dom0Storage } from '../../dom0-agent/transport/dom0-storage.ts';
import type { Assembly, DeletedBackup, FileTarget } from '../../dom0-agent/transport/storage.ts';

/** The steps of a storage's work. */
export type StorageStep =
  'open assembly' | 'write' | 'copy' | 'finish' | 'browse' | 'ask' | 'delete';

/** A storage in dom0, each step of which a test can observe or make fail. */
export class FaultyStorage extends Dom0Storage {
  /** The steps so far. */
  readonly steps: StorageStep[] = [];
  readonly #before: (step: StorageStep, number: number) => void;
  readonly #after: (step: StorageStep, fileName: string) => void;

  /**
   * @param before called before each step, with its number, from 0; may throw
   * @param after called after some steps, with the name of the file
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

  /** Deletes one file at a time, so that the storage can fail in between. */
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
