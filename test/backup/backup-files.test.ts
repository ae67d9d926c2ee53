import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { BackupFiles } from '../../dom0-agent/backup/backup-files.ts';
import { coffer1Layout, qubes4Layout } from '../../dom0-agent/backup/backup-formats.ts';
import type { Report } from '../../shared/report.ts';
import { readBackupSources } from '../../dom0-agent/backup/backup-sources.ts';
import { planBackup } from '../../dom0-agent/backup/plan-backup.ts';
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

  it('tell which VMs were started before their volumes were held', async () => {
    const { directory, system, plan } = await threeQubes();
    await markRunning(directory, 'two');
    const reading = { system, changes: undefined };
    const layout = coffer1Layout(undefined);
    await using files = await BackupFiles.open(plan, layout, 'domain', reading, report, never);
    const running = files.backedUp.filter((row) => row.running).map(({ name }) => name);
    expect(running).toEqual(['two']);
  });
});
