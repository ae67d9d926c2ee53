import { ChildProcess } from '../../../shared/child-process.ts';
import { FailedError } from '../../../shared/errors.ts';
import { Semaphore } from '../../../shared/semaphore.ts';
import type { HeldFile, HoldFile } from './held-file.ts';
import { whyEnded } from './root-reader-client.ts';
import { PipeReader } from './root-reader-protocol.ts';

/**
 * Opens and closes files as it is told, line by line, and answers with its process id and the descriptor, of 10
 * characters each: spaces when a file cannot be opened. Ends with its input, and so with coffer. It is bash for its
 * descriptors above 9.
 */
const SCRIPT = `
ulimit -n "$(ulimit -H -n)"
while IFS= read -r line; do
  case $line in
    'hold '*) if exec {fd}<"\${line#hold }"; then printf '%10d%10d' "$$" "$fd"; else printf '%20s' ''; fi ;;
    'drop '*) fd=\${line#drop }; exec {fd}<&- ;;
  esac
done`;
const ANSWER_LENGTH = 20;

/**
 * Holds files that only root may open: one small process has a descriptor of each, and root can open them through it.
 * It runs while any file is held.
 */
export class RootFileHolder {
  readonly #rootPrefix: readonly string[];
  /** An answer does not say which question it belongs to. */
  readonly #turn = new Semaphore(1);
  #process: { readonly child: ChildProcess; readonly answers: PipeReader } | undefined;
  #held = 0;

  /** @param rootPrefix see `rootPrefix` in run-program.ts */
  constructor(rootPrefix: readonly string[]) {
    this.#rootPrefix = rootPrefix;
  }

  readonly hold: HoldFile = (path, label) => this.#turn.run(() => this.#hold(path, label));

  async #hold(path: string, label: string): Promise<HeldFile> {
    if (path.includes('\n')) throw new FailedError(`${label} has a line break in its path`);
    const { child, answers } = (this.#process ??= this.#start());
    child.stdin.write(`hold ${path}\n`);
    const answer = (await answers.take(ANSWER_LENGTH))?.toString();
    if (answer === undefined) {
      this.#process = undefined;
      throw new FailedError(`${label} cannot be read as root: ${whyEnded(await child.ended)}`);
    }
    this.#held++;
    const [pid, descriptor] = answer.trim().split(/ +/);
    return {
      // What cannot be opened cannot be read either, and whoever tries says why.
      path: descriptor === undefined ? path : `/proc/${pid}/fd/${descriptor}`,
      [Symbol.asyncDispose]: () => this.#turn.run(() => this.#drop(descriptor)),
    };
  }

  async #drop(descriptor: string | undefined): Promise<void> {
    const child = this.#process?.child;
    if (descriptor !== undefined) child?.stdin.write(`drop ${descriptor}\n`);
    if (--this.#held > 0) return;
    this.#process = undefined;
    child?.stdin.end();
    await child?.ended;
  }

  #start() {
    const command = [...this.#rootPrefix, 'bash', '-c', SCRIPT];
    const child = new ChildProcess(command, { stdin: 'pipe', env: ENVIRONMENT });
    return { child, answers: new PipeReader(child.stdout) };
  }
}

/** Without BASH_ENV, and functions from outside. */
const ENVIRONMENT = { PATH: process.env['PATH'], LC_ALL: 'C' };
