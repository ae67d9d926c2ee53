import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a storage command may be asked for: COFFER_DO. */
type Verb = 'list' | 'read' | 'write' | 'delete';

/** What a correct command does, in a shell in the directory. */
const CORRECT: Readonly<Record<Verb, string>> = {
  list: `find . ! -name . -prune -type f -exec stat -c '%s %n' {} + | sed 's, \\./, ,'`,
  read: 'dd if="$COFFER_FILE" bs=1M iflag=skip_bytes,count_bytes skip="$COFFER_OFFSET" count="$COFFER_LENGTH" status=none',
  write: 'cat > "$COFFER_FILE.partial" && mv "$COFFER_FILE.partial" "$COFFER_FILE"',
  delete: 'rm "$COFFER_FILE"',
};

/** A shell script that gives access to a directory, as a user would write one, and logs its requests. */
export class StorageCommand {
  /** For `--through`. */
  readonly command: string;
  readonly #log: string;

  /**
   * @param folder where the script is
   * @param otherwise replaces what a correct command does
   */
  constructor(folder: string, otherwise: Partial<Record<Verb, string>> = {}) {
    this.command = join(folder, 'storage-command');
    this.#log = join(folder, 'asked');
    const cases = Object.entries({ ...CORRECT, ...otherwise }).map(
      ([verb, what]) => `${verb} ) ${what} ;;\n`,
    );
    writeFileSync(
      this.command,
      `#!/bin/sh
echo "$COFFER_DO $COFFER_FILE $COFFER_OFFSET $COFFER_LENGTH" >> ${this.#log}
cd "$COFFER_DIRECTORY" || exit 9
case $COFFER_DO in
${cases.join('')}esac
`,
    );
    chmodSync(this.command, 0o755);
  }

  /** The requests since the last call: `read NAME OFFSET LENGTH`. */
  asked(): string[] {
    const text = existsSync(this.#log) ? readFileSync(this.#log, 'utf8') : '';
    writeFileSync(this.#log, '');
    return text
      .trim()
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
  }
}
