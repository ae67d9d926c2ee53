import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Replays the recorded events of a command, and runs the real coffer for all others. */
const PLAYER = `#!/bin/sh
cd "$(dirname "$0")" || exit
[ -e "$1" ] || exec "$COFFER" "$@"
echo "$*" >> commands
while IFS= read -r line <&3; do
  case $line in
  kill) echo 'the last words' >&2; kill -9 $$ ;;
  'exit '*) exit "\${line#exit }" ;;
  'wait '*) until [ -e "\${line#wait }" ]; do sleep 0.05; done ;;
  *'"event":"question"'*) echo "$line"; IFS= read -r answer; echo "$answer" >> answers; [ "$answer" != no ] || exit 5 ;;
  *) echo "$line" ;;
  esac
done 3< "$1"
`;

/** A step of a command: it outputs an event, waits for a file, ends, or is killed. */
export type Step =
  { readonly event: string } | { readonly wait: string } | { readonly exit: number } | 'kill';

/** A program in place of coffer, which replays the events that a test has recorded. Dispose of it. */
export class Recorded implements Disposable {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'coffer-recorded-'));
  readonly program = path.join(this.directory, 'coffer');

  constructor() {
    const player = PLAYER.replace('"$COFFER"', `'${path.resolve('dist/coffer')}'`);
    writeFileSync(this.program, player, { mode: 0o755 });
  }

  /** Sets the steps of a command from now on. */
  play(command: string, steps: readonly Step[]): void {
    const lines = steps.map((step) => {
      if (step === 'kill') return 'kill';
      if ('exit' in step) return `exit ${step.exit}`;
      if ('wait' in step) return `wait ${step.wait}`;
      return JSON.stringify({ schema: 1, ...step });
    });
    writeFileSync(path.join(this.directory, command), [...lines, ''].join('\n'));
  }

  /** Adds a program that only outputs a text; its arguments are among the commands. */
  addProgram(name: string, output = ''): void {
    const script = '#!/bin/sh\ncd "$(dirname "$0")" && echo "${0##*/} $*" >> commands\n';
    const says = `cat <<'END'\n${output}\nEND\n`;
    writeFileSync(path.join(this.directory, name), script + says, { mode: 0o755 });
  }

  /** Lets a waiting command continue. */
  release(name: string): void {
    writeFileSync(path.join(this.directory, name), '');
  }

  /** The commands that were run, with their options. */
  get commands(): string[] {
    return this.#linesOf('commands');
  }

  /** The answers to the questions. */
  get answers(): string[] {
    return this.#linesOf('answers');
  }

  #linesOf(name: string): string[] {
    const file = path.join(this.directory, name);
    return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true });
  }
}
