import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { StorageError, reasonOf } from '../../shared/errors.ts';
import type { AgentConnector, AgentExit } from './agent-connector.ts';

/** An agent that is told to end has so long, in milliseconds, before it is killed. */
const GRACE = 4_000;

/**
 * Runs the VM agent's program on this machine, as a storage VM of the folder system does: with a
 * home of its own, and with nothing of our environment but the search path.
 *
 * @param program dist/coffer-vm-agent; run by this very Node
 */
export function localProcess(program: string, home: string): AgentConnector {
  return async (service, signal) => {
    const agent = spawn(process.execPath, [program, service], {
      cwd: home,
      env: { HOME: home, PATH: process.env['PATH'] ?? '/usr/bin:/bin' },
      stdio: ['pipe', 'pipe', 'pipe'],
      // A group of its own: an interrupt at the terminal is ours to pass on.
      detached: true,
    });
    const exited = exitOf(agent);
    await started(agent, program);
    endOnAbort(agent, exited, signal);
    return { stdin: agent.stdin, stdout: agent.stdout, stderr: agent.stderr, exited };
  };
}

type Agent = ChildProcessByStdio<Writable, Readable, Readable>;

function started(agent: Agent, program: string): Promise<void> {
  return new Promise((resolve, reject) => {
    agent.once('spawn', resolve);
    agent.once('error', (error) =>
      reject(new StorageError(`${program} cannot be started: ${reasonOf(error)}.`)),
    );
  });
}

function exitOf(agent: Agent): Promise<AgentExit> {
  return new Promise((resolve) => {
    agent.once('exit', (code, signal) =>
      resolve({ exitCode: code ?? undefined, signal: signal ?? '' }),
    );
  });
}

function endOnAbort(agent: Agent, exited: Promise<AgentExit>, signal: AbortSignal): void {
  let byForce: NodeJS.Timeout | undefined;
  const end = () => {
    agent.kill('SIGTERM');
    byForce = setTimeout(() => agent.kill('SIGKILL'), GRACE);
  };
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  void exited.then(() => {
    clearTimeout(byForce);
    signal.removeEventListener('abort', end);
  });
}
