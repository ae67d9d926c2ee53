import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { WorkDirectory } from '../archive/official-archives.ts';

const PAGE = readFileSync(new URL('../../docs/recovery.md', import.meta.url), 'utf8');

/** How a person who follows docs/recovery.md fares. */
export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs the commands of docs/recovery.md as they stand, in a shell that stops at the first that fails:
 * the preparations, those of one format's section, and the look into the image. Only the
 * values of BACKUP and FILE are put in, and there is no terminal whose echo could be turned off.
 */
export function followPage(
  section: string,
  work: WorkDirectory,
  backup: Buffer,
  file: string,
  passphrase: string,
  shell = 'sh',
): Outcome {
  const path = work.write('backup', backup);
  const preparations = commandsOf('Preparations for every format')
    .replace(/^BACKUP=.*$/m, `BACKUP='${path}'`)
    .replace(/^FILE=.*$/m, `FILE='${file}'`);
  const commands = [
    'stty() { :; }',
    preparations,
    commandsOf(section),
    commandsOf('The files in an image'),
  ];
  const script = work.write('commands.sh', commands.join('\n'));
  const { status, stdout, stderr } = spawnSync(shell, ['-e', script], {
    cwd: work.path,
    input: `${passphrase}\n`,
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

/** The blocks of commands in a section of the page, in their order. */
function commandsOf(section: string): string {
  const text = PAGE.split(/^## /m).find((one) => one.startsWith(`${section}\n`));
  if (text === undefined) throw new Error(`docs/recovery.md has no section ${section}`);
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map((match) => match[1] ?? '');
  if (blocks.length === 0) throw new Error(`there are no commands in ${section}`);
  return blocks.join('\n');
}
