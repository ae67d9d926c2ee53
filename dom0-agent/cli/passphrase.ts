import { createReadStream } from 'node:fs';
import { stdin } from 'node:process';
import { createInterface } from 'node:readline/promises';
import { read } from 'read';
import { InterruptedError, RefusedError, messageOf } from '../../shared/errors.ts';

/**
 * The passphrase: the first line of the file that `-p` names, or of standard input for `-`; asked for
 * without echo else, twice when it is a new one. Throws RefusedError when there is none.
 */
export async function askPassphrase(source: string | undefined, isNew: boolean): Promise<string> {
  const passphrase = source === undefined ? await askTerminal(isNew) : await firstLine(source);
  if (passphrase === '') {
    throw new RefusedError('the passphrase is empty: a backup is worth nothing without one');
  }
  return passphrase;
}

async function firstLine(source: string): Promise<string> {
  const input = source === '-' ? stdin : createReadStream(source);
  const lines = createInterface({ input });
  try {
    for await (const line of lines) return line;
    return '';
  } catch (error) {
    throw new RefusedError(`the passphrase file ${source} cannot be read: ${messageOf(error)}`);
  } finally {
    lines.close();
    if (source === '-') stdin.destroy();
  }
}

async function askTerminal(isNew: boolean): Promise<string> {
  if (!stdin.isTTY) {
    throw new RefusedError('there is no terminal to ask for the passphrase: use -p FILE or -p -');
  }
  const passphrase = await askSecretly('Passphrase: ');
  if (isNew && passphrase !== (await askSecretly('The same again: '))) {
    throw new RefusedError('the two passphrases differ: nothing was done');
  }
  return passphrase;
}

async function askSecretly(prompt: string): Promise<string> {
  try {
    return await read({ prompt, silent: true, output: process.stderr });
  } catch (error) {
    throw new InterruptedError('interrupted', { cause: error });
  } finally {
    // The line's end was not echoed either.
    process.stderr.write('\n');
  }
}
