import type { Readable, Writable } from 'node:stream';
import type { Service } from '../../protocol/conversation.ts';
import type { ChildEnd, StderrTail } from '../../shared/child-process.ts';

/** How the process that connects coffer to the VM agent ended. */
export type AgentExit = Pick<ChildEnd, 'exitStatus' | 'signal'>;

/** A process that connects coffer to one service of the VM agent, or is the VM agent itself. */
export interface AgentProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Unfiltered: the transport makes it printable and adds the VM's name. */
  readonly stderrTail: StderrTail;
  /** Resolves when the process has ended. Never rejects. */
  readonly exited: Promise<AgentExit>;
  /**
   * Why the process ended without an answer; undefined if the connector does not know.
   *
   * @param stderrTail the end of its standard error, printable
   */
  explainExit?(exit: AgentExit, stderrTail: string): Error | undefined;
}

/**
 * Starts a service of the VM agent. When the signal fires, the process is terminated, and killed if necessary.
 * Throws RefusedError or StorageError, naming the VM.
 */
export type AgentConnector = (service: Service, signal: AbortSignal) => Promise<AgentProcess>;
