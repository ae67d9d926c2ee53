import { setMaxListeners } from 'node:events';
import { Channel } from '../../protocol/channel.ts';
import type { Conversation, Service } from '../../protocol/conversation.ts';
import { ChannelClosedError } from '../../protocol/protocol-error.ts';
import { withTimeout } from '../../protocol/timeout.ts';
import { describeEnd, holdOutput } from '../../shared/child-process.ts';
import { StorageError } from '../../shared/errors.ts';
import type { AgentConnector, AgentExit, AgentProcess } from './agent-connector.ts';
import { printableTail } from './storage-errors.ts';
import type { TimeLimits } from './time-limits.ts';

/** How long to wait for a process's standard error after it has ended, in milliseconds. */
const STDERR_WAIT = 1_000;

/** A storage VM, and how to reach it. */
export interface StorageVm {
  readonly name: string;
  readonly connect: AgentConnector;
  readonly limits: TimeLimits;
  /** A shell command in the VM that gives access to its directories. */
  readonly through?: string | undefined;
}

/** One service of the VM agent in use: its process and the channel to it. */
export class AgentConnection<C extends Conversation> implements AsyncDisposable {
  readonly channel: Channel<C>;
  readonly #vm: StorageVm;
  readonly #process: AgentProcess;
  readonly #kill: AbortController;
  readonly #broken: AbortController;

  private constructor(
    vm: StorageVm,
    process: AgentProcess,
    conversation: C,
    kill: AbortController,
    signal: AbortSignal,
  ) {
    this.#vm = vm;
    this.#process = process;
    this.#kill = kill;
    this.#broken = new AbortController();
    holdOutput(process.stdout);
    const ended = AbortSignal.any([signal, this.#broken.signal]);
    // Many requests listen to this at the same time: Node would warn of a leak.
    setMaxListeners(0, ended);
    this.channel = new Channel({
      side: 'dom0',
      conversation,
      peer: vm.name,
      input: process.stdout,
      output: process.stdin,
      signal: ended,
    });
  }

  /** Starts a service of the VM agent. Throws RefusedError, StorageError or the signal's reason. */
  static async open<C extends Conversation>(
    vm: StorageVm,
    service: Service,
    conversation: C,
    signal: AbortSignal,
  ): Promise<AgentConnection<C>> {
    signal.throwIfAborted();
    const kill = new AbortController();
    const process = await vm.connect(service, AbortSignal.any([signal, kill.signal]));
    return new AgentConnection(vm, process, conversation, kill, signal);
  }

  /** Makes all pending and future operations on the channel fail with this error. */
  break(error: unknown): void {
    this.#broken.abort(error);
  }

  /**
   * The most informative error. When the channel was just closed, the reason is in the exit status of the process
   * and its standard error.
   */
  async reasonFor(error: unknown): Promise<unknown> {
    if (!(error instanceof ChannelClosedError)) return error;
    const exit = await this.#exit().catch(() => undefined);
    const stderrTail = await this.#stderrTail();
    const known = exit && this.#process.explainExit?.(exit, stderrTail);
    if (known) return known;
    const end = exit === undefined ? '' : ` The agent ${describeEnd(exit)}.`;
    const said = stderrTail === '' ? '' : ` ${this.#vm.name} says: ${stderrTail}`;
    return new StorageError(
      `${this.#vm.name} closed the channel before its work was done.${end}${said}`,
      { cause: error },
    );
  }

  /** Waits for the agent's end: it must exit with status 0 after having reported success. */
  async requireSuccess(): Promise<void> {
    const exit = await this.#exit();
    if (exit.exitStatus === 0) return;
    throw new StorageError(
      `The agent in ${this.#vm.name} reported success, but then ${describeEnd(exit)}: do not rely on this backup.`,
    );
  }

  /** The end of what the agent wrote to its standard error. */
  async #stderrTail(): Promise<string> {
    const late = () => new StorageError('a standard error that stays open');
    const { stderrTail } = this.#process;
    await Promise.allSettled([withTimeout(stderrTail.ended, STDERR_WAIT, late)]);
    return printableTail(stderrTail.text);
  }

  #exit(): Promise<AgentExit> {
    const { name, limits } = this.#vm;
    const late = () => new StorageError(`The agent in ${name} does not exit.`);
    return withTimeout(this.#process.exited, limits.exit, late);
  }

  /** Ends the agent: it notices that the channel is closed; if it does not, it is killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.stdin.destroy();
    this.#process.stdout.destroy();
    try {
      await this.#exit();
    } catch (error) {
      this.#kill.abort(error);
      // The connector kills it: there is nothing more to do.
      await Promise.allSettled([this.#exit()]);
    }
  }
}
