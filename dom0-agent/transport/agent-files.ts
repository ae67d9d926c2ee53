import { FetchConversation } from '../../protocol/fetch-conversation.ts';
import { LONGEST_DATA, MOST_HANDLES, PROTOCOL_VERSION } from '../../protocol/limits.ts';
import type { FileRange, OpenedFile } from '../../shared/byte-streams.ts';
import { FailedError, StorageError } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { Semaphore } from '../../shared/semaphore.ts';
import { MiB } from '../../shared/sizes.ts';
import { AgentConnection } from './agent-connection.ts';
import type { StorageVm } from './agent-connection.ts';
import { Answers, type WantedRange } from './agent-answers.ts';
import { type NamedPlace, fileIn, locationIn, placeOf } from './location.ts';
import { toUserError } from './storage-errors.ts';
import type { StoredFiles } from './storage.ts';

/** How many bytes a read requests ahead: twice as many with each step, so that a short read stays cheap. */
const SMALLEST_WINDOW = MiB;
const LARGEST_WINDOW = 8 * MiB;
/** How many ranges a read requests ahead, however small they are. */
const MOST_AHEAD = 128;
/** Behind a command: the longest range, in bytes, for which one is started. Ranges grow with the window up to this. */
const LONGEST_THROUGH = 8 * MiB;
/** Behind a command: as LARGEST_WINDOW. It has several ranges, so that the next commands start in time. */
const LARGEST_WINDOW_THROUGH = 32 * MiB;

/** Reads files of a directory in a storage VM. */
export class AgentFiles implements StoredFiles {
  readonly location: string;
  readonly #vm: StorageVm;
  readonly #directory: string;
  readonly #connection: AgentConnection<FetchConversation>;
  readonly #answers: Answers;
  readonly #files = new Map<string, AgentFile>();
  /** Which file has each handle; the most recently used one comes last. */
  readonly #handles = new Map<number, AgentFile>();
  /** Limits how many files are being opened, so that no handle is reassigned before its file is open. */
  readonly #opening = new Semaphore(MOST_HANDLES / 4);

  private constructor(
    vm: StorageVm,
    directory: string,
    connection: AgentConnection<FetchConversation>,
    untrustedPath: string,
  ) {
    this.#vm = vm;
    this.#directory = directory;
    this.#connection = connection;
    this.#answers = new Answers(vm, connection.channel);
    this.location = locationIn(vm.name, printable(untrustedPath));
  }

  /** Resolves when the VM agent is ready to open files. Errors name `place`. */
  static async open(
    vm: StorageVm,
    directory: string,
    place: NamedPlace,
    signal: AbortSignal,
  ): Promise<AgentFiles> {
    const connection = await AgentConnection.open(vm, 'Fetch', new FetchConversation(), signal);
    try {
      const { channel } = connection;
      const version = PROTOCOL_VERSION;
      const { through, limits } = vm;
      await channel.send({ kind: 'fetchRequest', version, directory, through }, limits.answer);
      const untrusted = await channel.expect('ready', vm.limits.answer);
      return new AgentFiles(vm, directory, connection, untrusted.path);
    } catch (error) {
      const reason = await connection.reasonFor(error);
      await connection[Symbol.asyncDispose]();
      throw toUserError(reason, place, false);
    }
  }

  async open(untrustedName: string): Promise<OpenedFile> {
    const known = this.#files.get(untrustedName);
    if (known !== undefined) return known;
    const place = placeOf(this.#vm.name, { file: fileIn(this.#directory, untrustedName) });
    const file = new AgentFile(this, untrustedName, place);
    await this.#orUserError(this.#handleOf(file), place, false);
    this.#files.set(untrustedName, file);
    return file;
  }

  async *read(ranges: Iterable<FileRange>): AsyncGenerator<Buffer, void, undefined> {
    const isThrough = this.#vm.through !== undefined;
    const largest = isThrough ? LARGEST_WINDOW_THROUGH : LARGEST_WINDOW;
    let [window, asked] = [SMALLEST_WINDOW, 0];
    const longest = (): number => (isThrough ? Math.min(window, LONGEST_THROUGH) : LONGEST_DATA);
    const wants = wantsOf(ranges, longest);
    const ahead: {
      readonly file: AgentFile;
      readonly range: WantedRange;
      readonly length: number;
    }[] = [];
    try {
      for (;;) {
        while (asked < window && ahead.length < MOST_AHEAD) {
          const next = wants.next();
          if (next.done === true) break;
          const { file, from, length } = next.value;
          const range = await this.#orUserError(this.#want(file, from, length), file.place, true);
          ahead.push({ file, range, length });
          asked += length;
        }
        window = Math.min(2 * window, largest);
        const [first] = ahead;
        if (first === undefined) return;
        for await (const bytes of this.#bytesOf(first)) yield bytes;
        ahead.shift();
        asked -= first.length;
      }
    } finally {
      for (const { range } of ahead) range.drop();
    }
  }

  async *#bytesOf({ file, range }: { readonly file: AgentFile; readonly range: WantedRange }) {
    try {
      yield* range.bytes();
    } catch (error) {
      throw await this.#userError(error, file.place, true);
    }
  }

  async #want(file: AgentFile, offset: number, length: number): Promise<WantedRange> {
    for (;;) {
      const opening = this.#handleOf(file);
      const handle = await opening;
      const range = await this.#answers.want(handle, offset, length, () => {
        // While this waited, another file may have taken the handle.
        if (file.handle !== opening) return false;
        this.#handles.delete(handle);
        this.#handles.set(handle, file);
        return true;
      });
      if (range !== undefined) return range;
    }
  }

  /** The handle of a file, which is opened again if another file has taken its handle. */
  #handleOf(file: AgentFile): Promise<number> {
    file.handle ??= this.#opening.run(() => this.#open(file));
    return file.handle;
  }

  async #open(file: AgentFile): Promise<number> {
    const { size } = this.#handles;
    const [longestUnused = 0] = this.#handles.keys();
    const handle = size < MOST_HANDLES ? size : longestUnused;
    const former = this.#handles.get(handle);
    if (former !== undefined) former.handle = undefined;
    this.#handles.delete(handle);
    this.#handles.set(handle, file);
    try {
      file.noteSize(await this.#answers.open(handle, file.untrustedName));
      return handle;
    } catch (error) {
      file.handle = undefined;
      throw error;
    }
  }

  async #orUserError<T>(step: Promise<T>, place: NamedPlace, hasBegun: boolean): Promise<T> {
    try {
      return await step;
    } catch (error) {
      throw await this.#userError(error, place, hasBegun);
    }
  }

  async #userError(error: unknown, place: NamedPlace, hasBegun: boolean): Promise<Error> {
    return toUserError(await this.#connection.reasonFor(error), place, hasBegun);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]();
  }
}

/** A file of a directory in a storage VM. */
class AgentFile implements OpenedFile {
  readonly untrustedName: string;
  readonly place: NamedPlace;
  readonly seekable = true;
  /** Undefined if it has none and is not about to get one. */
  handle: Promise<number> | undefined;
  readonly #files: AgentFiles;
  #size: number | undefined;

  constructor(files: AgentFiles, untrustedName: string, place: NamedPlace) {
    this.#files = files;
    this.untrustedName = untrustedName;
    this.place = place;
  }

  get size(): number {
    return this.#size ?? 0;
  }

  /** Notes the size of the file, which has just been opened. Throws StorageError if it was another one before. */
  noteSize(size: number): void {
    this.#size ??= size;
    if (size === this.#size) return;
    throw new StorageError(`${this.place.name} in ${this.place.owner} changed while it was read.`);
  }

  read(from = 0, to = Infinity): AsyncIterable<Buffer> {
    return this.#files.read([{ file: this, from, to: Math.min(to, this.size) }]);
  }
}

/** Splits ranges into pieces of at most the length that `longest` returns at that time. */
function* wantsOf(ranges: Iterable<FileRange>, longest: () => number) {
  for (const { file, from, to } of ranges) {
    if (!(file instanceof AgentFile)) throw new FailedError('a file of another directory');
    for (let at = from; at < to;) {
      const length = Math.min(to - at, longest());
      yield { file, from: at, length };
      at += length;
    }
  }
}
