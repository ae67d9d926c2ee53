import { ChildProcess } from '../../../shared/child-process.ts';
import { FailedError } from '../../../shared/errors.ts';
import { Semaphore } from '../../../shared/semaphore.ts';
import type { HeldFile, HoldFile } from './held-file.ts';
import { whyEnded } from './root-reader-client.ts';
import { PipeReader } from './root-reader-protocol.ts';

/**
 * Opens and closes files on request, one a line. It answers `hold` with its process id and the descriptor, in 10
 * characters each, or with spaces if the file cannot be opened. It ends with its input, and so with coffer. It is bash,
 * which can use descriptors above 9.
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

interface HoldingProcess {
  readonly child: ChildProcess;
  readonly answers: PipeReader;
  /** How many files it holds. */
  held: number;
}

/**
 * Holds files that only root may open: one small process has a descriptor for each, through which root can open it. The
 * process runs as long as any file is held.
 */
export class RootFileHolder {
  readonly #rootPrefix: readonly string[];
  /** One request at a time: an answer does not say which request it belongs to. */
  readonly #turn = new Semaphore(1);
  /** The one that holds files from now on. */
  #process: HoldingProcess | undefined;

  /** @param rootPrefix see `rootPrefix` in run-program.ts */
  constructor(rootPrefix: readonly string[]) {
    this.#rootPrefix = rootPrefix;
  }

  readonly hold: HoldFile = (path, label) => this.#turn.run(() => this.#hold(path, label));

  async #hold(path: string, label: string): Promise<HeldFile> {
    if (path.includes('\n')) throw new FailedError(`${label} has a line break in its path`);
    const holding = (this.#process ??= this.#start());
    holding.child.stdin.write(`hold ${path}\n`);
    const answer = (await holding.answers.take(ANSWER_LENGTH))?.toString();
    if (answer === undefined) {
      this.#process = undefined;
      throw new FailedError(
        `${label} cannot be read as root: ${whyEnded(await holding.child.ended)}`,
      );
    }
    holding.held++;
    const [pid, descriptor] = answer.trim().split(/ +/);
    return {
      // If it cannot be opened, reading it will fail, and say why.
      path: descriptor === undefined ? path : `/proc/${pid}/fd/${descriptor}`,
      [Symbol.asyncDispose]: () => this.#turn.run(() => this.#drop(holding, descriptor)),
    };
  }

  /** A descriptor is one of its own process: in another that was started since, the same number may be another file. */
  async #drop(holding: HoldingProcess, descriptor: string | undefined): Promise<void> {
    const { child } = holding;
    if (descriptor !== undefined) child.stdin.write(`drop ${descriptor}\n`);
    if (--holding.held > 0) return;
    if (this.#process === holding) this.#process = undefined;
    child.stdin.end();
    await child.ended;
  }

  #start(): HoldingProcess {
    // --norc: bash takes a socket, which Node gives it for a pipe, for a remote shell, and would read .bashrc.
    const command = [...this.#rootPrefix, 'bash', '--norc', '-c', SCRIPT];
    const child = new ChildProcess(command, { stdin: 'pipe', env: ENVIRONMENT });
    return { child, answers: new PipeReader(child.stdout), held: 0 };
  }
}

/** Without BASH_ENV, and without functions from the environment. */
const ENVIRONMENT = { PATH: process.env['PATH'], LC_ALL: 'C' };
