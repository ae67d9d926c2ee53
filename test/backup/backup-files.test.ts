import { rename, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { INCOMPLETE } from '../../dom0-agent/archive/archive.ts';
import { BackupFiles } from '../../dom0-agent/backup/backup-files.ts';
import { coffer1Layout, qubes4Layout } from '../../dom0-agent/backup/backup-formats.ts';
import type { Report } from '../../shared/report.ts';
import { readBackupSources } from '../../dom0-agent/backup/backup-sources.ts';
import { planBackup } from '../../dom0-agent/backup/plan-backup.ts';
import type {
  ChangeTracking,
  OpenedChanges,
} from '../../dom0-agent/qubes/changes/volume-changes.ts';
import type { HeldVolume, QubesSystem } from '../../dom0-agent/qubes/system.ts';
import { FailedError } from '../../shared/errors.ts';
import { markRunning, never, pieces, smallSystem } from '../qubes/folder/small-system.ts';

const nothing = (): void => undefined;
const report: Report = {
  ...{ info: nothing, warning: nothing, rollbackFailed: nothing, phase: nothing },
  ...{ working: nothing, progress: nothing, known: nothing, finished: nothing },
};
const LAYOUTS = [
  ['coffer-1', coffer1Layout(undefined)],
  ['qubes-4', qubes4Layout(undefined, true)],
] as const;

/** A system with three VMs, and the plan of a backup of them. */
async function threeQubes() {
  const { directory, system } = await smallSystem();
  for (const name of ['one', 'two', 'three']) {
    await system.create({
      ...{ name, label: 'red', qubeClass: 'AppVM', template: 'debian', pool: undefined },
    });
    await system.importVolume(name, 'private', 1_000, pieces([[5, `${name} before`]]), never);
  }
  const plan = planBackup(await readBackupSources(system), {
    ...{ chosen: ['one', 'two', 'three'], excluded: [], excludedIfThere: [], running: 'include' },
  });
  return { directory, system, plan: { ...plan, dom0Home: undefined, dom0Paths: undefined } };
}

describe('the files of a backup', () => {
  it.each(LAYOUTS)('in %s contain all VMs in their state at its beginning', async (_, layout) => {
    const { directory, system, plan } = await threeQubes();
    const reading = { system, changes: undefined };
    const found: string[] = [];
    {
      await using files = await BackupFiles.open(plan, layout, 'domain', reading, report, never);
      for (const { qube, volumes } of plan.qubes) {
        // Does what a VM does that is started, writes, and is stopped.
        await markRunning(directory, qube.name);
        const image = join(directory, `${volumes[0]?.vid ?? expect.fail()}.img`);
        await writeFile(`${image}.new`, Buffer.alloc(1_000, 'after'));
        await rename(`${image}.new`, image);
      }
      for await (const content of files.all(new Date())) {
        if (content.kind !== 'volume') continue;
        const bytes = Buffer.alloc(content.size);
        await content.read(bytes, 0);
        found.push(bytes.toString('latin1', 5, 20).replaceAll('\0', ''));
      }
      expect(files.backedUp.map(({ failure, running }) => [failure, running])).toEqual(
        plan.qubes.map(() => [undefined, false]),
      );
    }
    expect(found).toEqual(['one before', 'two before', 'three before']);
  });

  it('leave out a volume that was made larger after the plan, whose size a restore would refuse', async () => {
    const { directory, system, plan } = await threeQubes();
    const [volume] = plan.qubes[1]?.volumes ?? [];
    await truncate(join(directory, `${volume?.vid ?? expect.fail()}.img`), 3_000);
    const reading = { system, changes: undefined };
    const layout = coffer1Layout(undefined);
    await using files = await BackupFiles.open(plan, layout, 'domain', reading, report, never);
    const paths: string[] = [];
    for await (const content of files.all(new Date())) {
      if (content.kind === 'volume') await content.read(Buffer.alloc(content.size), 0);
      paths.push(content.path);
    }
    const directories = plan.qubes.map((planned) => planned.directory);
    expect(paths.filter((path) => path.endsWith('.img'))).toEqual([
      `${directories[0]}/private.img`,
      `${directories[2]}/private.img`,
    ]);
    expect(paths).toContain(`${directories[1]}/${INCOMPLETE}`);
    expect(files.backedUp[1]?.failure).toMatch(
      /^the volume private of two has 2\.93 KiB instead of/,
    );
  });

  it('tell which VMs were started before their volumes were held', async () => {
    const { directory, system, plan } = await threeQubes();
    await markRunning(directory, 'two');
    const reading = { system, changes: undefined };
    const layout = coffer1Layout(undefined);
    await using files = await BackupFiles.open(plan, layout, 'domain', reading, report, never);
    const running = files.backedUp.filter((row) => row.running).map(({ name }) => name);
    expect(running).toEqual(['two']);
  });

  it('do not tell that a pool has reported changes wrongly if a volume just cannot be read', async () => {
    const { system, plan } = await threeQubes();
    let distrusted = 0;
    const opened: OpenedChanges = {
      changes: { kind: 'ranges', ranges: [] },
      size: 1_000,
      image: {
        ...{ size: 1_000, extents: [{ offset: 0, length: 1_000 }] },
        read: () => Promise.reject(new FailedError('the volume is broken')),
        requireUnchanged: () => Promise.resolve(),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      },
      keep: nothing,
      requireUntouched: () => Promise.resolve(),
      distrust: () => {
        distrusted++;
        return Promise.resolve();
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    const held = {
      open: () => Promise.resolve(opened),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    const tracking: ChangeTracking = {
      hold: () => Promise.resolve(held),
      commit: () => Promise.resolve(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    const reading = { system, changes: { tracking, since: () => 'b1' } };
    const layout = coffer1Layout(undefined);
    await using files = await BackupFiles.open(plan, layout, 'domain', reading, report, never);
    const compareAll = async (): Promise<void> => {
      for await (const content of files.all(new Date())) {
        if (content.kind !== 'volume') continue;
        const [chunk, known] = [Buffer.alloc(1_000), Buffer.alloc(1_000, 1)];
        await content.read(chunk, 0);
        if (!chunk.equals(known)) await content.check?.wrong();
      }
    };
    await expect(compareAll()).rejects.toThrow('the volume is broken');
    expect(distrusted).toBe(0);
  });

  it('are complete even if a volume cannot be released, which is a warning', async () => {
    const { system: sound, plan } = await threeQubes();
    const system: QubesSystem = sound;
    const broken = Object.create(system, {
      holdVolume: {
        value: async (...args: Parameters<QubesSystem['holdVolume']>): Promise<HeldVolume> => {
          const held = await system.holdVolume(...args);
          return {
            open: (signal) => held.open(signal),
            [Symbol.asyncDispose]: async () => {
              await held[Symbol.asyncDispose]();
              throw new FailedError('it is in use');
            },
          };
        },
      },
    }) as QubesSystem;
    const warnings: string[] = [];
    const warning = (text: string): void => void warnings.push(text);
    const reading = { system: broken, changes: undefined };
    const layout = coffer1Layout(undefined);
    const told = { ...report, warning };
    await using files = await BackupFiles.open(plan, layout, 'domain', reading, told, never);
    for await (const content of files.all(new Date())) {
      if (content.kind === 'volume') await content.read(Buffer.alloc(content.size), 0);
    }
    expect(files.backedUp.map(({ failure }) => failure)).toEqual(plan.qubes.map(() => undefined));
    expect(warnings).toEqual(
      plan.qubes.map(
        ({ qube: { name } }) => `the volume private of ${name} is not released: it is in use`,
      ),
    );
  });
});
