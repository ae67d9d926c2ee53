import type { Readable, Writable } from 'node:stream';
import type { Service } from '../../protocol/conversation.ts';
import type { ChildEnd } from '../../shared/child-process.ts';
import type { StderrTail } from '../../shared/child-process.ts';

/** How the process that joins us to the VM agent ended. */
export type AgentExit = Pick<ChildEnd, 'exitStatus' | 'signal'>;

/** A process that joins us to one service of the VM agent, or is the VM agent itself. */
export interface AgentProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Raw: the transport cleans it and puts the VM's name before it. */
  readonly stderrTail: StderrTail;
  /** Resolves when the process has ended. Never rejects. */
  readonly exited: Promise<AgentExit>;
  /**
   * What it means when the process ends without having answered, if the connector knows.
   *
   * @param stderrTail the end of what it wrote to its standard error, fit to be shown
   */
  explainExit?(exit: AgentExit, stderrTail: string): Error | undefined;
}

/**
 * Starts a service of the VM agent. When the signal fires, then or later, the process is ended, by
 * force if need be. Throws RefusedError or StorageError, naming the VM.
 */
export type AgentConnector = (service: Service, signal: AbortSignal) => Promise<AgentProcess>;
