import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runUndisturbed } from './coffer-run.ts';
import type { World } from './world.ts';

/** A complete result of a job: after a fault, nothing else may be left. */
export interface Whole {
  /** The VMs, files and directories that it consists of, as named by `World.things`. */
  readonly things: readonly string[];
  /** What it is: `backup`, `home`, or the name of a VM. */
  readonly what: string;
}

const BACKUPS = 'system/homes/usb/backups/';
const HOME = 'system/dom0-home/user/';

/** Finds the complete results of a job among the new things. */
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

/** Whether `<name>-1` has the same data and settings as `name`. */
function isRestored(world: World, all: ReadonlyMap<string, string>, name: string): boolean {
  const image = (qube: string): Buffer => readFileSync(world.imageOf(qube));
  const copy = `${name}-1`;
  return (
    all.has(`system/appvms/${copy}/private.img`) &&
    image(copy).equals(image(name)) &&
    settingsOf(all, copy) === settingsOf(all, name)
  );
}

/** The settings of a VM that a restore must produce. */
function settingsOf(all: ReadonlyMap<string, string>, name: string): string {
  const text = all.get(`VM ${name}`) ?? '';
  const kept = ['label', 'properties', 'features', 'notes'].map(
    (key) => new RegExp(`"${key}":("[^"]*"|\\[.*?\\]\\]|\\[\\])`).exec(text)?.[0],
  );
  const hasTag = text.includes('"mine"');
  return [...kept, hasTag].join('\n');
}

/** The restored homes with the same contents as dom0's home. */
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
