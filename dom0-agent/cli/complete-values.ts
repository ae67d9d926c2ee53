import { dirname } from 'node:path';
import { isQubeClass } from '../qubes/qube.ts';
import { type OpenedSystem, openSystem } from './open-system.ts';
import { namesOfProfiles } from './profile-files.ts';

/** How long to wait for a VM's answer, in ms. */
const TIMEOUT = 3_000;

/** A completion of the word that is being typed. */
export interface Candidate {
  readonly value: string;
  /** Its description; may be empty. */
  readonly what: string;
}

/** What is being typed, and what it can be completed to. */
export interface Wanted {
  readonly kind: 'these' | 'vms' | 'pools' | 'profiles' | 'in-vm' | 'files' | 'directories';
  /** As far as it is typed. */
  readonly word: string;
  /** What comes before `word` without a blank: `--format=`. */
  readonly prefix?: string;
  /** For `these`: the candidates. */
  readonly these?: readonly Candidate[];
  /** The value of `--system`. */
  readonly system?: string | undefined;
  /** VMs that are already named. */
  readonly not?: readonly string[];
  /** For `in-vm`: the VM whose files are offered. */
  readonly vm?: string;
  /** For `in-vm`: `directories` offers no files. */
  readonly only?: 'files' | 'directories';
}

/** All candidates, whatever was typed; none if they cannot be found out. */
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

/** The files of a VM in the directory that the word names; no VM is started for that. */
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
