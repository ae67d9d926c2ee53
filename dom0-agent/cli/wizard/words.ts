import type { Place } from './place.ts';

/** The options of the command line that name a place. */
export function wordsFor({ vm, isCommand, through }: Omit<Place, 'location'>): string[] {
  return [
    ...(vm === undefined ? [] : ['--dest-vm', vm]),
    ...(isCommand === true ? ['--command'] : []),
    ...(through === undefined ? [] : ['--through', through]),
  ];
}

/** LOCATION and VMs, which may begin like options. */
export function operands(location: string, qubes: readonly string[]): string[] {
  return location.startsWith('-') ? ['--', location, ...qubes] : [location, ...qubes];
}
