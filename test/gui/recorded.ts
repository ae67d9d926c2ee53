import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Plays what was recorded of a command, and is the real coffer for the others. */
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

/** What a command does: tells an event, waits for a file, ends, or is killed. */
export type Step =
  { readonly event: string } | { readonly wait: string } | { readonly exit: number } | 'kill';

/** A program in the place of coffer, which tells what a test has recorded. Dispose of it. */
export class Recorded implements Disposable {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'coffer-recorded-'));
  readonly program = path.join(this.directory, 'coffer');

  constructor() {
    const player = PLAYER.replace('"$COFFER"', `'${path.resolve('dist/coffer')}'`);
    writeFileSync(this.program, player, { mode: 0o755 });
  }

  /** From now on, this is what the command does. */
  play(command: string, steps: readonly Step[]): void {
    const lines = steps.map((step) => {
      if (step === 'kill') return 'kill';
      if ('exit' in step) return `exit ${step.exit}`;
      if ('wait' in step) return `wait ${step.wait}`;
      return JSON.stringify({ schema: 1, ...step });
    });
    writeFileSync(path.join(this.directory, command), [...lines, ''].join('\n'));
  }

  /** Puts a program beside it that only says something: what it is told is among the commands. */
  addProgram(name: string, output = ''): void {
    const script = '#!/bin/sh\ncd "$(dirname "$0")" && echo "${0##*/} $*" >> commands\n';
    const says = `cat <<'END'\n${output}\nEND\n`;
    writeFileSync(path.join(this.directory, name), script + says, { mode: 0o755 });
  }

  /** Lets a command go on that waits. */
  release(name: string): void {
    writeFileSync(path.join(this.directory, name), '');
  }

  /** The commands that were started, with their options. */
  get commands(): string[] {
    return this.#linesOf('commands');
  }

  /** What the questions were answered. */
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
