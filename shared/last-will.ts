import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';

/**
 * Cleans up after this program even when it is killed without warning. A small shell waits at the
 * end of a pipe: when the program dies, the pipe closes, and the shell does what is left to do.
 * It has a session of its own, so that a signal to the program's group does not end it.
 */
export class LastWill {
  readonly #shell: ChildProcess;

  private constructor(deed: string, words: readonly string[], env: NodeJS.ProcessEnv) {
    const script = `read -r nothing_left_to_do || ${deed}`;
    this.#shell = spawn('/bin/sh', ['-c', script, 'coffer-last-will', ...words], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      env,
    });
    // Without a shell there is no last will; the program itself cleans up all the same. Nor
    // does it matter when the shell has ended before it is told to.
    this.#shell.on('error', () => undefined);
    this.#shell.stdin?.on('error', () => undefined);
    this.#shell.unref();
  }

  static toRemove(file: string): LastWill {
    return new LastWill('rm -f -- "$1"', [file], { PATH: '/usr/bin:/bin' });
  }

  static toKillGroup(leader: number): LastWill {
    return new LastWill('kill -s KILL -- "-$1"', [String(leader)], { PATH: '/usr/bin:/bin' });
  }

  /** Runs a command, in this program's environment. */
  static toRun(command: readonly string[]): LastWill {
    return new LastWill('exec "$@"', command, process.env);
  }

  /** There is nothing left to do. */
  revoke(): void {
    this.#shell.stdin?.end('revoked\n');
  }
}
