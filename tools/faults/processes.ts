import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { systemCodeOf } from '../../shared/errors.ts';

/** The processes of coffer, and of the doubles of Qubes, that can be killed. */
export type Role =
  'dom0 agent' | 'VM agent' | 'compressor' | 'qrexec client' | 'import service' | 'other';

export interface Process {
  readonly pid: number;
  readonly role: Role;
  readonly commandLine: string;
}

/**
 * The processes whose working directory is in or below `directory`: every process that a run of coffer there
 * starts inherits it, or works in a home within it. Zombies are not included.
 */
export function processesIn(directory: string): Process[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const workingDirectory = ofProcess(() => readlinkSync(`/proc/${pid}/cwd`));
      if (workingDirectory === undefined || !isWithin(workingDirectory, directory)) return [];
      const words =
        ofProcess(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'))?.split('\0') ?? [];
      return [{ pid: Number(pid), role: roleOf(words), commandLine: words.join(' ').trim() }];
    });
}

const ROLES: readonly (readonly [program: string, role: Role])[] = [
  ['coffer', 'dom0 agent'],
  ['coffer-vm-agent', 'VM agent'],
  ['zstd', 'compressor'],
  ['qrexec-client.mjs', 'qrexec client'],
  ['import-service.mjs', 'import service'],
];

/** The role of a command line: by its program, or the script that an interpreter runs, regardless of options. */
function roleOf(words: readonly string[]): Role {
  const names = words.filter((word) => !word.startsWith('-')).slice(0, 2);
  const programs = names.map((word) => basename(word));
  return ROLES.find(([program]) => programs.includes(program))?.[1] ?? 'other';
}

function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

/** Undefined if the process has ended, or belongs to another user. */
function ofProcess(read: () => string): string | undefined {
  try {
    return read();
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES'].includes(systemCodeOf(error) ?? '')) return undefined;
    throw error;
  }
}
