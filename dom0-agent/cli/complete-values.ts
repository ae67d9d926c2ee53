import { dirname } from 'node:path';
import { isQubeClass } from '../qubes/qube.ts';
import { type OpenedSystem, openSystem } from './open-system.ts';
import { namesOfProfiles } from './profile-files.ts';

/** A VM that does not answer at once is not waited for, in milliseconds. */
const TIMEOUT = 3_000;

/** What a word that is being typed may become. */
export interface Candidate {
  readonly value: string;
  /** In words; may be empty. */
  readonly what: string;
}

/** What a word is meant to be. */
export interface Wanted {
  readonly kind: 'these' | 'vms' | 'pools' | 'profiles' | 'in-vm' | 'files' | 'directories';
  /** As far as it is typed. */
  readonly word: string;
  /** What comes before it in the same word: `--format=`. */
  readonly prefix?: string;
  readonly these?: readonly Candidate[];
  /** As `--system` has it. */
  readonly system?: string | undefined;
  /** VMs that are named already. */
  readonly not?: readonly string[];
  /** For `in-vm`: what is in a directory of it. */
  readonly vm?: string;
  readonly only?: 'files' | 'directories';
}

/** What there is of that; nothing if it cannot be found out. */
export async function candidatesFor(wanted: Wanted, signal: AbortSignal): Promise<Candidate[]> {
  try {
    switch (wanted.kind) {
      case 'these':
        return [...(wanted.these ?? [])];
      case 'vms':
        return await vms(await opened(wanted), wanted.not ?? []);
      case 'pools':
        return (await (await opened(wanted)).system.pools()).map(({ name }) => named(name));
      case 'profiles':
        return (await namesOfProfiles()).map(named);
      case 'in-vm':
        return await inVm(await opened(wanted), wanted, signal);
      case 'files':
      case 'directories':
        return [];
    }
  } catch {
    // There is nothing to offer, and nobody to tell.
    return [];
  }
}

function opened({ system }: Wanted): Promise<OpenedSystem> {
  return openSystem(system, () => undefined);
}

async function vms({ system }: OpenedSystem, not: readonly string[]): Promise<Candidate[]> {
  const listed = await system.list();
  return listed
    .filter(({ name, className }) => isQubeClass(className) && !not.includes(name))
    .map(({ name, className }) => ({ value: name, what: className }));
}

/** What is in the directory of a VM that the word is in; no VM is started for that. */
async function inVm(
  { storage, isHalted }: OpenedSystem,
  { vm, word, only }: Wanted,
  signal: AbortSignal,
): Promise<Candidate[]> {
  if (await isHalted(vm)) return [];
  const place = await storage({ destVm: vm });
  const directory = word.includes('/') ? dirname(`${word}x`) : '.';
  const path = word.includes('/') ? `${directory === '/' ? '' : directory}/` : '';
  const soon = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT)]);
  const { entries } = await place.browse(directory, soon);
  return entries.flatMap(({ untrustedName, kind }) => {
    if (kind === 'DIRECTORY') return [named(`${path}${untrustedName}/`)];
    return kind === 'FILE' && only === 'files' ? [named(path + untrustedName)] : [];
  });
}

function named(value: string): Candidate {
  return { value, what: '' };
}
