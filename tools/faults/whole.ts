import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runUndisturbed } from './coffer-run.ts';
import type { World } from './world.ts';

/** What a job leaves that is whole: only such things may be there after a fault. */
export interface Whole {
  /** The VMs, files and directories that make it up, as `World.things` calls them. */
  readonly things: readonly string[];
  /** In words. */
  readonly what: string;
}

const BACKUPS = 'system/homes/usb/backups/';
const HOME = 'system/dom0-home/user/';

/** Finds, among the things that are new, those which are whole results of a job. */
export async function wholeResults(
  world: World,
  all: ReadonlyMap<string, string>,
  added: readonly string[],
): Promise<Whole[]> {
  const results: Whole[] = [];
  for (const thing of added) {
    const file = thing.startsWith(BACKUPS) ? thing.slice(BACKUPS.length) : '';
    if (/^qubes-backup-[^.]*$/.test(file) && (await isSound(world, file))) {
      results.push({ what: 'backup', things: [thing] });
    }
    const name = /^VM (\w+)-1$/.exec(thing)?.[1];
    if (name !== undefined && isRestored(world, all, name)) {
      const files = added.filter((other) => other.startsWith(`system/appvms/${name}-1/`));
      results.push({ what: name, things: [thing, ...files] });
    }
  }
  return [...results, ...restoredHomes(all, added)];
}

async function isSound(world: World, file: string): Promise<boolean> {
  const verify = world.command('verify', `backups/${file}`);
  return (await runUndisturbed(verify, world.directory)).ending === 0;
}

/** Whether `<name>-1` is as `name`, with all of its data and settings. */
function isRestored(world: World, all: ReadonlyMap<string, string>, name: string): boolean {
  const image = (qube: string): Buffer => readFileSync(world.imageOf(qube));
  const copy = `${name}-1`;
  return (
    all.has(`system/appvms/${copy}/private.img`) &&
    image(copy).equals(image(name)) &&
    settingsOf(all, copy) === settingsOf(all, name)
  );
}

/** What a backup keeps of a VM, and a restore must give back. */
function settingsOf(all: ReadonlyMap<string, string>, name: string): string {
  const text = all.get(`VM ${name}`) ?? '';
  const kept = ['label', 'properties', 'features', 'notes'].map(
    (key) => new RegExp(`"${key}":("[^"]*"|\\[.*?\\]\\]|\\[\\])`).exec(text)?.[0],
  );
  const hasTag = text.includes('"mine"');
  return [...kept, hasTag].join('\n');
}

/** The restored homes that hold what dom0's home holds. */
function restoredHomes(all: ReadonlyMap<string, string>, added: readonly string[]): Whole[] {
  const tops = added.flatMap((thing) => {
    const top = thing.startsWith(HOME) ? thing.slice(HOME.length).split('/')[0] : undefined;
    return top !== undefined && /^home-restore-[\dT-]+$/.test(top) ? [top] : [];
  });
  const originals = [...all].filter(
    ([thing]) => thing.startsWith(HOME) && !thing.startsWith(`${HOME}home-restore-`),
  );
  return [...new Set(tops)].flatMap((top) => {
    const restored = added.filter((thing) => thing.startsWith(`${HOME}${top}/`));
    const isSame =
      restored.length === originals.length &&
      originals.every(
        ([thing, text]) => all.get(join(HOME, top, thing.slice(HOME.length))) === text,
      );
    return isSame ? [{ what: 'home', things: restored }] : [];
  });
}
