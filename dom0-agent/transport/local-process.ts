import { ChildProcess } from '../../shared/child-process.ts';
import { StorageError, reasonOf } from '../../shared/errors.ts';
import type { AgentConnector } from './agent-connector.ts';

/** How long a terminated agent has, in milliseconds, before it is killed. */
const GRACE = 4_000;

/**
 * Runs the VM agent's program on this machine, for a storage VM of a folder system: with its own home, and with
 * nothing of coffer's environment except PATH.
 *
 * @param program dist/coffer-vm-agent; run by this very Node
 */
export function localProcess(program: string, home: string): AgentConnector {
  return async (service, signal) => {
    const agent = new ChildProcess([process.execPath, program, service], {
      cwd: home,
      env: { HOME: home, PATH: process.env['PATH'] ?? '/usr/bin:/bin' },
      stdin: 'pipe',
    });
    const notRun = await agent.notRun();
    if (notRun) throw new StorageError(`${program} cannot be started: ${reasonOf(notRun)}.`);
    const end = (): void => void agent.endGroup(GRACE);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
    void agent.ended.then(() => signal.removeEventListener('abort', end));
    return {
      stdin: agent.stdin,
      stdout: agent.stdout,
      stderrTail: agent.stderrTail,
      exited: agent.ended,
    };
  };
}
