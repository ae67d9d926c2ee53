import { isatty } from 'node:tty';
import { RefusedError, UsageError } from '../../shared/errors.ts';
import type { BackupFormat } from '../backup/backup-formats.ts';
import { checkNewPassphrase } from '../backup/new-passphrase.ts';
import { answersComeOnInput, askProgram } from './answers-on-input.ts';
import { ControllingTerminal } from './controlling-terminal.ts';
import { aboutField } from './error-field.ts';
import { takeAhead } from './passphrase-ahead.ts';
import { firstLineOf } from './read-passphrase.ts';

const NO_TERMINAL_TO_CONFIRM =
  'there is no terminal to ask for confirmation: use -y to continue without it';
const NO_TERMINAL_FOR_PASSPHRASE =
  'there is no terminal to ask for the passphrase: use -p FILE or -p -';

/** Throws RefusedError when nobody could answer a question. */
export function requireTerminal(advice = NO_TERMINAL_TO_CONFIRM): void {
  if (!answersComeOnInput()) ControllingTerminal.require(advice);
}

/**
 * Asks for confirmation, before anything is done. Throws RefusedError when the answer is not yes, or nobody can be
 * asked, and InterruptedError.
 */
export async function confirm(question: string, signal: AbortSignal): Promise<void> {
  const answer = answersComeOnInput()
    ? await askProgram('confirm', question, signal)
    : await askPerson(`${question} [y/N] `, signal);
  if (!/^y(es)?$/i.test(answer.toString('utf8').trim())) throw new RefusedError('nothing was done');
}

async function askPerson(prompt: string, signal: AbortSignal): Promise<Buffer> {
  using terminal = ControllingTerminal.open(NO_TERMINAL_TO_CONFIRM, signal);
  return await terminal.ask(prompt);
}

/**
 * The passphrase of a backup, as bytes: the first line of the file that `-p` names, or of standard input for `-`;
 * otherwise it is asked for at the terminal. The caller wipes it. Throws RefusedError when there is none, and
 * InterruptedError.
 */
export async function askPassphrase(
  source: string | undefined,
  signal: AbortSignal,
): Promise<Buffer> {
  return aboutField('passphrase', async () => {
    const file = fileNamed(source);
    const passphrase =
      file === undefined ? await askOnce('passphrase', signal) : await firstLineOf(file, signal);
    requirePresent(passphrase);
    if (!passphrase.includes(0)) return passphrase;
    throw new RefusedError('the passphrase contains a NUL byte, which is not allowed');
  });
}

/**
 * Like `askPassphrase`, for a command that can also do without: undefined when there is no terminal, or nothing is
 * typed.
 */
export async function askOptionalPassphrase(
  source: string | undefined,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  if (fileNamed(source) !== undefined) return askPassphrase(source, signal);
  if (!answersComeOnInput() && !ControllingTerminal.isThere()) return undefined;
  const passphrase = await askOnce('optional-passphrase', signal);
  return passphrase.length === 0 ? undefined : passphrase;
}

/**
 * The passphrase for a new backup, from a file, or asked for until it has been repeated correctly. The caller wipes it.
 * Throws like `askPassphrase`, and RefusedError for a passphrase that this format does not allow.
 *
 * @param warn called with a sentence for anything questionable about it
 */
export async function askNewPassphrase(
  source: string | undefined,
  format: BackupFormat,
  warn: (text: string) => void,
  signal: AbortSignal,
): Promise<Buffer> {
  return aboutField('passphrase', async () => {
    const file = fileNamed(source);
    const passphrase =
      file === undefined ? await askTwice(signal) : await firstLineOf(file, signal);
    requirePresent(passphrase);
    checkNewPassphrase(passphrase, format).forEach(warn);
    return passphrase;
  });
}

/** The file to read; undefined to ask. For `-`, if standard input is a terminal, it is better to ask without echo. */
function fileNamed(source: string | undefined): string | undefined {
  if (source === '-' && answersComeOnInput()) {
    throw new UsageError('-p - and --questions both read standard input: leave out -p');
  }
  return source === '-' && isatty(0) ? undefined : source;
}

function requirePresent(passphrase: Buffer): void {
  if (passphrase.length > 0) return;
  throw new RefusedError('the passphrase is empty: a backup needs one');
}

const PROMPTS = {
  passphrase: 'Passphrase: ',
  'optional-passphrase': 'Passphrase (press Enter to continue without it): ',
} as const;

async function askOnce(question: keyof typeof PROMPTS, signal: AbortSignal): Promise<Buffer> {
  const given = takeAhead();
  if (given !== undefined) return given;
  if (answersComeOnInput()) return askProgram(question, 'Passphrase', signal);
  using terminal = ControllingTerminal.open(NO_TERMINAL_FOR_PASSPHRASE, signal);
  return await terminal.askSecretly(PROMPTS[question]);
}

/**
 * Asks for a new passphrase until it has been repeated correctly. It may be empty. A program is asked once: it lets the
 * user repeat the passphrase itself.
 */
export async function askTwice(signal: AbortSignal): Promise<Buffer> {
  const given = takeAhead();
  if (given !== undefined) return given;
  if (answersComeOnInput()) return askProgram('new-passphrase', 'New passphrase', signal);
  using terminal = ControllingTerminal.open(NO_TERMINAL_FOR_PASSPHRASE, signal);
  for (;;) {
    const passphrase = await terminal.askSecretly('Passphrase: ');
    if (passphrase.length === 0) return passphrase;
    const again = await terminal.askSecretly('Repeat the passphrase: ');
    const isSame = passphrase.equals(again);
    again.fill(0);
    if (isSame) return passphrase;
    passphrase.fill(0);
    terminal.tell('They do not match. Try again:');
  }
}
