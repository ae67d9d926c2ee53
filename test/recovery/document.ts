import { readFileSync } from 'node:fs';
import { WorkDirectory } from '../archive/official-archives.ts';
import { type Outcome, programsFor, run } from './script.ts';

const PAGE = readFileSync(new URL('../../docs/recovery.md', import.meta.url), 'utf8');

/** How a user follows docs/recovery.md. */
export interface Reader {
  /** The section of the backup's format. */
  readonly section: string;
  readonly backup: Buffer;
  /** The path of the file to recover. */
  readonly file: string;
  readonly passphrase: string;
  readonly shell?: string;
  /** Commands after the steps of the section. */
  readonly then?: string;
  /** Continues with the next command after one that failed, like a user who pastes the whole page. */
  readonly heedless?: boolean;
  /** Whether the file is an image that is inspected in the end, as by default. */
  readonly image?: boolean;
  /** A file for the programs that were run, with their arguments. */
  readonly trace?: string;
}

/**
 * Runs the unchanged commands of docs/recovery.md in `work`: the preparations, those of one
 * format's section, and the inspection of the image. Only the values of BACKUP and FILE are filled in,
 * and there is no terminal whose echo could be turned off.
 */
export async function followPage(work: WorkDirectory, reader: Reader): Promise<Outcome> {
  const { section, backup, file, passphrase, shell = 'dash', then = '', heedless = false } = reader;
  const path = work.write('backup', backup);
  const preparations = commandsOf('Preparations for every format')
    .replace(/^BACKUP=.*$/m, `BACKUP='${path}'`)
    .replace(/^FILE=.*$/m, `FILE='${file}'`);
  const script = work.write(
    'commands.sh',
    [
      'stty() { :; }',
      preparations,
      stepsFor(section),
      then,
      reader.image === false ? '' : commandsOf('The files in an image'),
    ].join('\n'),
  );
  const [name = '', ...options] = shell.split(' ');
  const strace = ['strace', '-f', '-s', '4000', '-v', '-e', 'trace=execve', '-o'];
  const [program = '', ...args] = [
    ...(reader.trace === undefined ? [] : [...strace, reader.trace]),
    ...[name, ...options, ...(heedless ? [] : ['-e']), script],
  ];
  const env = { PATH: `${programsFor(name)}:${process.env['PATH'] ?? ''}`, HOME: work.path };
  return run(program, args, { cwd: work.path, input: `${passphrase}\n`, env });
}

function stepsFor(section: string): string {
  // "Do steps 1 and 2 of Format 3." "Do steps 1 to 4 above, and define what step 5 defines."
  const [former, end] = BEFORE.get(section) ?? [];
  const before = former === undefined ? '' : commandsOf(former, end);
  return `${before}\n${commandsOf(section)}`;
}

/** Sections that refer to steps of others: to which section, and up to where. */
const BEFORE = new Map<string, [string, RegExp]>([
  ['Format 2', ['Format 3', /^### 3\./m]],
  ['A coffer-1 backup that needs others', ['coffer-1', /^Then run it:/m]],
]);

/** The blocks of commands in a section of the page, in order, up to `end`. */
function commandsOf(section: string, end?: RegExp): string {
  const text = PAGE.split(/^## /m).find((one) => one.startsWith(`${section}\n`));
  if (text === undefined) throw new Error(`docs/recovery.md has no section ${section}`);
  const wanted = end === undefined ? text : text.split(end)[0];
  const blocks = [...(wanted ?? '').matchAll(/^```sh\n(.*?)^```$/gms)].map(
    (match) => match[1] ?? '',
  );
  if (blocks.length === 0) throw new Error(`there are no commands in ${section}`);
  return blocks.join('\n');
}
