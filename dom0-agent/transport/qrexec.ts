import type { Service } from '../../protocol/conversation.ts';
import { ChildProcess } from '../../shared/child-process.ts';
import { CleanupProcess } from '../../shared/cleanup-process.ts';
import { messageOf, reasonOf, RefusedError, StorageError } from '../../shared/errors.ts';
import type { AgentConnector, AgentExit } from './agent-connector.ts';
import { NotOfferedError, StorageRefusal } from './storage-errors.ts';

/** QREXEC_CLIENT in qubes-core-admin-client. */
const QREXEC_CLIENT = '/usr/lib/qubes/qrexec-client';

/**
 * Exit statuses of qrexec-client itself, not of the service (libqrexec/qrexec.h of qubes-core-qrexec). The shell
 * that runs the service in the VM also uses 126 and 127, but prints a message.
 */
const EXIT = { problem: 125, refused: 126, notFound: 127, connectionLost: 255 } as const;
/** Services in a package of their own: without it, files in a storage VM are only ever added. */
const OPTIONAL: readonly Service[] = ['Delete', 'Assemble'];
/** The prefix of qrexec-client's own messages, after the time. */
const CLIENT_MESSAGE = /qrexec-client\[\d+\]: /;
/** What it prints before it exits with status 1, if the connection is lost in the middle of a qrexec message. */
const LOST_IN_MESSAGE = /qrexec-client\[\d+\]: \S+ Error while vchan /;
/** The exit status for a service killed by a signal is this plus the signal's number. */
const SIGNAL_EXIT = 128;

export interface QrexecOptions {
  /** Default: `QREXEC_CLIENT`. */
  readonly program?: string | undefined;
  readonly isRunning: (vm: string) => Promise<boolean>;
  /** Resolves when the VM runs. */
  readonly start: (vm: string) => Promise<void>;
  /** Called before a halted VM is started. */
  readonly onStart?: ((vm: string) => void) | undefined;
}

/**
 * Connects to the VM agent through qrexec, with which dom0 may call services of any VM: data goes to the standard input
 * of `/etc/qubes-rpc/coffer.<service>` there. A halted VM is started first.
 */
export function qrexec(vm: string, options: QrexecOptions): AgentConnector {
  return async (service, signal) => {
    // The signal just kills the client: the agent in the VM notices that its channel was closed.
    const client = await startService(vm, `coffer.${service}+`, options, 'pipe', signal);
    // If coffer is killed, the client would run as long as the agent, which may be stuck in a command.
    const cleanup = client.pid === undefined ? undefined : CleanupProcess.toKillGroup(client.pid);
    void client.ended.then(() => cleanup?.cancel());
    return {
      stdin: client.stdin,
      stdout: client.stdout,
      stderrTail: client.stderrTail,
      exited: client.ended,
      explainExit: (exit, stderrTail) => explainExit(vm, service, exit, stderrTail),
    };
  };
}

/**
 * Starts a service of a VM through qrexec-client, which connects its standard streams to it. A halted VM is started
 * first. Throws RefusedError or StorageError, naming the VM.
 *
 * @param service its name, a `+`, and its argument
 */
export async function startService(
  vm: string,
  service: string,
  options: QrexecOptions,
  stdin: 'pipe' | 'ignore',
  signal: AbortSignal,
): Promise<ChildProcess> {
  const { program = QREXEC_CLIENT } = options;
  await ensureRunning(vm, options);
  signal.throwIfAborted();
  const command = [program, '-d', vm, `DEFAULT:QUBESRPC ${service} dom0`];
  const client = new ChildProcess(command, { stdin, signal });
  const notRun = await client.notRun();
  if (notRun === undefined) return client;
  throw new StorageError(`${program} cannot be run: ${reasonOf(notRun)}`, { cause: notRun });
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

/** Why qrexec-client ended before the agent reported anything; undefined if its exit status does not tell. */
function explainExit(
  vm: string,
  service: Service,
  { exitStatus, signal }: AgentExit,
  stderrTail: string,
): Error | undefined {
  const call = `coffer.${service}`;
  if (
    exitStatus === EXIT.connectionLost ||
    (exitStatus === 1 && LOST_IN_MESSAGE.test(stderrTail))
  ) {
    return new StorageError(
      `the connection to ${vm} was lost: it shut down or crashed, or its qrexec agent did`,
    );
  }
  switch (exitStatus) {
    case undefined:
      return new StorageError(`the connection to ${vm} was terminated (${signal})`);
    case EXIT.notFound:
      if (stderrTail === '' && OPTIONAL.includes(service)) {
        return new NotOfferedError(
          `${vm} cannot delete or assemble backups: install the package qubes-coffer-vm-prune in it, ` +
            `or in its template (/etc/qubes-rpc/${call} is missing there)`,
        );
      }
      return new RefusedError(
        stderrTail === ''
          ? `coffer's agent is not installed in ${vm}: install the package qubes-coffer-vm in ${vm}, ` +
              `or in its template and then restart ${vm} (/etc/qubes-rpc/${call} is missing there)`
          : `coffer's agent in ${vm} cannot run, since a program is missing there: install what the package qubes-coffer-vm depends on (${stderrTail})`,
      );
    case EXIT.refused:
      return new StorageRefusal(
        'PERMISSION',
        stderrTail === ''
          ? `${vm} refused the call ${call}: see its qrexec policy and its journal`
          : `coffer's agent in ${vm} may not be run there: reinstall the package qubes-coffer-vm (${stderrTail})`,
      );
    case EXIT.problem:
      // When it does not get as far as the VM's qrexec agent, qrexec-client itself says so.
      return CLIENT_MESSAGE.test(stderrTail)
        ? new StorageError(
            `qrexec cannot reach ${vm}: it shut down just now, or its qrexec agent does not answer`,
          )
        : new RefusedError(
            `${vm} cannot start ${call}: look at its journal; perhaps /etc/qubes-rpc/${call} is not ` +
              `executable there, or /etc/qubes/rpc-config/${call} is wrong${inBrackets(stderrTail)}`,
          );
  }
  if (exitStatus <= SIGNAL_EXIT) return undefined;
  return new StorageError(
    `coffer's agent in ${vm} was killed (signal ${exitStatus - SIGNAL_EXIT}): is ${vm} out of memory?`,
  );
}

function inBrackets(stderrTail: string): string {
  return stderrTail === '' ? '' : ` (${stderrTail})`;
}
