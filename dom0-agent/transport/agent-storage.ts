import { BrowseConversation } from '../../protocol/conversation.ts';
import { DeleteConversation } from '../../protocol/delete-conversation.ts';
import { MOST_NAMES, PROTOCOL_VERSION } from '../../protocol/limits.ts';
import { printable } from '../../shared/printable.ts';
import { AgentConnection } from './agent-connection.ts';
import type { StorageVm } from './agent-connection.ts';
import type { AgentConnector } from './agent-connector.ts';
import { AgentFiles } from './agent-files.ts';
import { AgentSink } from './agent-sink.ts';
import { AgentSource } from './agent-source.ts';
import { NotOfferedError, toUserError } from './storage-errors.ts';
import { FilesThrough } from './files-through.ts';
import { type NamedPlace, pathThrough, placeOf } from './location.ts';
import { SingleFile } from './single-file.ts';
import { compareEntries } from './storage.ts';
import type {
  Assembly,
  DeletedBackup,
  FetchSource,
  FileTarget,
  ListedEntry,
  Listing,
  Sink,
  Source,
  Storage,
  StoreTarget,
  StoredFiles,
} from './storage.ts';
import { TIME_LIMITS } from './time-limits.ts';
import type { TimeLimits } from './time-limits.ts';

/** A storage VM, through the agent that runs in it. */
export class AgentStorage implements Storage {
  readonly owner: string;
  readonly #vm: StorageVm;

  /** @param through a shell command in the VM that gives access to its directories */
  constructor(
    name: string,
    connect: AgentConnector,
    limits: TimeLimits = TIME_LIMITS,
    through?: string,
  ) {
    this.owner = name;
    this.#vm = { name, connect, limits, through };
  }

  openSink(
    target: StoreTarget,
    expectedBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<Sink> {
    return AgentSink.open(this.#vm, target, expectedBytes, signal);
  }

  openFiles(directory: string, signal: AbortSignal): Promise<StoredFiles> {
    const place = placeOf(this.owner, { directory, fileName: '' });
    return this.#openFiles(directory, place, signal);
  }

  async #openFiles(
    directory: string,
    place: NamedPlace,
    signal: AbortSignal,
  ): Promise<StoredFiles> {
    const files = await AgentFiles.open(this.#vm, directory, place, signal);
    return this.#vm.through === undefined ? files : new FilesThrough(files);
  }

  async openAssembly(
    target: FileTarget,
    expectedBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<Assembly> {
    if (this.#vm.through !== undefined) throw new NotOfferedError('a command assembles nothing');
    return await AgentSink.openAssembly(this.#vm, target, expectedBytes, signal);
  }

  openSource(source: FetchSource, signal: AbortSignal): Promise<Source> {
    if ('command' in source) return AgentSource.open(this.#vm, source.command, signal);
    const { through } = this.#vm;
    return SingleFile.open(this.owner, { ...source, through }, (directory, place) =>
      this.#openFiles(directory, place, signal),
    );
  }

  async browse(directory: string, signal: AbortSignal): Promise<Listing> {
    const conversation = new BrowseConversation();
    await using connection = await AgentConnection.open(this.#vm, 'Browse', conversation, signal);
    try {
      return await this.#list(directory, connection);
    } catch (error) {
      const place = placeOf(this.owner, { directory, fileName: '' });
      throw toUserError(await connection.reasonFor(error), place, false);
    }
  }

  async deleteBackups(
    directory: string,
    fileNames: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly DeletedBackup[]> {
    const all: DeletedBackup[] = [];
    for (let at = 0; at === 0 || at < fileNames.length; at += MOST_NAMES) {
      all.push(...(await this.#delete(directory, fileNames.slice(at, at + MOST_NAMES), signal)));
    }
    return all;
  }

  async #delete(
    directory: string,
    fileNames: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly DeletedBackup[]> {
    const conversation = new DeleteConversation();
    await using connection = await AgentConnection.open(this.#vm, 'Delete', conversation, signal);
    const { answer, stall } = this.#vm.limits;
    const { channel } = connection;
    let hasBegun = false;
    try {
      const { through } = this.#vm;
      const request = { version: PROTOCOL_VERSION, directory, through, fileNames: [...fileNames] };
      await channel.send({ kind: 'deleteRequest', ...request }, answer);
      await channel.expect('ready', answer);
      hasBegun = true;
      const deletions: DeletedBackup[] = [];
      for (const fileName of fileNames) {
        const { result, message } = await channel.expect('outcome', stall);
        deletions.push({ fileName, result, reason: printable(message) });
      }
      await connection.requireSuccess();
      return deletions;
    } catch (error) {
      const place = placeOf(this.owner, { directory, fileName: '' });
      throw toUserError(await connection.reasonFor(error), place, hasBegun);
    }
  }

  async #list(
    directory: string,
    { channel }: AgentConnection<BrowseConversation>,
  ): Promise<Listing> {
    const { through, limits } = this.#vm;
    const { answer } = limits;
    const request = { version: PROTOCOL_VERSION, directory, through };
    await channel.send({ kind: 'browseRequest', ...request }, answer);
    const { path: untrustedPath, freeBytes, largestFile } = await channel.expect('ready', answer);
    const entries: ListedEntry[] = [];
    const deadline = performance.now() + answer;
    for (;;) {
      const some = await channel.expect('entries', Math.max(deadline - performance.now(), 0));
      for (const { name, kind, size } of some.entries) {
        entries.push({ untrustedName: name, kind, size });
      }
      if (!some.last) continue;
      const { truncated } = some;
      const space = { freeBytes, largestFile };
      const path = pathThrough(printable(untrustedPath), through);
      return { path, space, entries: entries.sort(compareEntries), truncated };
    }
  }
}
