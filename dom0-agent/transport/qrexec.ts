import { spawn } from 'node:child_process';
import type { Service } from '../../protocol/conversation.ts';
import { messageOf, RefusedError, StorageError } from '../../shared/errors.ts';
import type { AgentConnector, AgentExit } from './agent-connector.ts';

/** QREXEC_CLIENT in qubes-core-admin-client. */
export const QREXEC_CLIENT = '/usr/lib/qubes/qrexec-client';

/** What qrexec-client ends with when the service did not (libqrexec/qrexec.h of qubes-core-qrexec). */
const EXIT = { problem: 125, refused: 126, serviceNotFound: 127 } as const;
/** A service that a signal ended has the signal's number added to this. */
const SIGNAL_EXIT = 128;

export interface QrexecOptions {
  /** Default: `QREXEC_CLIENT`. */
  readonly program?: string | undefined;
  readonly isRunning: (vm: string) => Promise<boolean>;
  /** Resolves when the VM runs. */
  readonly start: (vm: string) => Promise<void>;
  /** Told before a halted VM is started. */
  readonly onStart?: ((vm: string) => void) | undefined;
}

/**
 * Reaches the VM agent through qrexec, as dom0 may call services of any VM: what is sent goes to
 * the standard input of `/etc/qubes-rpc/coffer.<service>` there. A halted VM is started first.
 */
export function qrexec(vm: string, options: QrexecOptions): AgentConnector {
  const { program = QREXEC_CLIENT } = options;
  return async (service, signal) => {
    await ensureRunning(vm, options);
    signal.throwIfAborted();
    const client = spawn(program, ['-d', vm, `DEFAULT:QUBESRPC coffer.${service}+ dom0`], {
      stdio: 'pipe',
      // A group of its own: an interrupt at the terminal is ours to pass on.
      detached: true,
      signal,
      // It has nothing to put in order: the agent in the VM notices that its channel closed.
      killSignal: 'SIGKILL',
    });
    const exited = new Promise<AgentExit>((resolve) => {
      client.once('exit', (code, signal) =>
        resolve({ exitCode: code ?? undefined, signal: signal ?? '' }),
      );
    });
    await new Promise<void>((resolve, reject) => {
      client.once('spawn', resolve);
      // Also comes when the signal fires, which is then no news.
      client.on('error', (error) =>
        reject(new StorageError(`${program} cannot be run: ${error.message}`, { cause: error })),
      );
    });
    return {
      stdin: client.stdin,
      stdout: client.stdout,
      stderr: client.stderr,
      exited,
      explain: (exit) => explainExit(vm, service, exit),
    };
  };
}

async function ensureRunning(vm: string, options: QrexecOptions): Promise<void> {
  const { isRunning, start, onStart } = options;
  const runs = await isRunning(vm).catch((error: unknown) => {
    throw new RefusedError(`the storage VM ${vm} cannot be used: ${messageOf(error)}`, {
      cause: error,
    });
  });
  if (runs) return;
  onStart?.(vm);
  await start(vm).catch((error: unknown) => {
    throw new StorageError(
      `the storage VM ${vm} does not start, so nothing was stored or read: ${messageOf(error)}`,
      { cause: error },
    );
  });
}

/** What it means when qrexec-client ends before the agent has said how things are. */
function explainExit(vm: string, service: Service, exit: AgentExit): Error | undefined {
  const { exitCode, signal } = exit;
  if (exitCode === undefined) {
    return new StorageError(`the connection to ${vm} was ended from outside (${signal})`);
  }
  switch (exitCode) {
    case EXIT.serviceNotFound:
      return new RefusedError(
        `coffer's agent is not installed in ${vm}: install the package qubes-coffer-vm in ${vm}, ` +
          `or in its template and then restart ${vm} (/etc/qubes-rpc/coffer.${service} is missing there)`,
      );
    case EXIT.refused:
      return new RefusedError(
        `${vm} refused the call coffer.${service}: see its qrexec policy and its journal`,
      );
    case EXIT.problem:
      return new StorageError(
        `qrexec cannot reach ${vm}: it shut down just now, or its qrexec agent does not answer`,
      );
  }
  if (exitCode <= SIGNAL_EXIT) return undefined;
  return new StorageError(
    `coffer's agent in ${vm} was killed (signal ${exitCode - SIGNAL_EXIT}): is ${vm} out of memory?`,
  );
}
