import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';

/**
 * Cleans up after this program even when it is killed without warning. A small shell waits at the end of a pipe: when
 * the program dies, the pipe closes, and the shell cleans up. It has its own session, so that a signal to the
 * program's process group does not end it.
 */
export class CleanupProcess {
  readonly #shell: ChildProcess;

  private constructor(action: string, words: readonly string[], env: NodeJS.ProcessEnv) {
    const script = `read -r cancelled || ${action}`;
    this.#shell = spawn('/bin/sh', ['-c', script, 'coffer-cleanup', ...words], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      env,
    });
    // If the shell cannot start, the program itself still cleans up, unless it is killed. Nor does it matter if the
    // shell has ended before it is cancelled.
    this.#shell.on('error', () => undefined);
    this.#shell.stdin?.on('error', () => undefined);
    this.#shell.unref();
  }

  /** Will remove a file. */
  static toRemove(file: string): CleanupProcess {
    return new CleanupProcess('rm -f -- "$1"', [file], { PATH: '/usr/bin:/bin' });
  }

  /** Will kill a process group, given the process id of its leader. */
  static toKillGroup(leader: number): CleanupProcess {
    return new CleanupProcess('kill -s KILL -- "-$1"', [String(leader)], { PATH: '/usr/bin:/bin' });
  }

  /** Will run a command, in this program's environment. */
  static toRun(command: readonly string[]): CleanupProcess {
    return new CleanupProcess('exec "$@"', command, process.env);
  }

  /** To be called when there is nothing left to clean up: ends the shell. */
  cancel(): void {
    this.#shell.stdin?.end('cancelled\n');
  }
}
