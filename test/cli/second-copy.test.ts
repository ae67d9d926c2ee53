import { cpSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Box, type Run } from './box.ts';
import { type Told, lastEvent } from './events.ts';

/** A series of two full backups, and a copy of it. */
async function copied(): Promise<Box> {
  const box = await Box.full(undefined, 'dom0');
  box.goOn();
  box.goOn(['--full']);
  cpSync(box.backups, join(box.backups, '../copy'), { recursive: true });
  return box;
}

function coffer(box: Box, command: string, ...words: string[]): Run {
  return box.loud([command, ...box.where, ...box.secret, ...words]);
}

/** The last check of each file, the newest first. */
function checks(box: Box, directory: string): unknown[] {
  const told = lastEvent(coffer(box, 'list', '--json', directory).stdout);
  return (told['backups'] as Told[]).map(({ check }) => check && (check as Told)['result']);
}

describe('when a copy of backups is verified', () => {
  it('this is not recorded for the originals, which may be damaged nevertheless', async () => {
    const box = await copied();
    const [first = '', second = ''] = readdirSync(box.backups).sort();
    box.damage(join('backups', first));
    expect(coffer(box, 'verify', '--all', 'backups').status).toBe(3);
    expect(checks(box, 'backups')).toEqual(['verified', 'damaged']);
    expect(checks(box, 'copy')).toEqual([null, null]);
    const verified = coffer(box, 'verify', '--all', 'copy');
    expect(verified).toMatchObject({ status: 0 });
    expect(coffer(box, 'verify', join('copy', first))).toMatchObject({ status: 0 });
    expect(checks(box, 'backups')).toEqual(['verified', 'damaged']);
    box.damage(join('backups', second));
    expect(coffer(box, 'verify', 'backups').status).toBe(3);
    expect(coffer(box, 'verify', 'copy').status).toBe(0);
    expect(box.loud(['status'])).toMatchObject({ status: 1 });
  });

  it('damage to it is not recorded as damage to the originals', async () => {
    const box = await copied();
    for (const name of readdirSync(box.backups)) box.damage(join('copy', name));
    expect(coffer(box, 'verify', 'copy').status).toBe(3);
    const all = coffer(box, 'verify', '--all', 'copy');
    expect(all).toMatchObject({ status: 3 });
    expect(all.stdout).toContain('The series is damaged');
    expect(all.stdout).not.toContain('stores again');
    expect(box.loud(['status'])).toMatchObject({ status: 0 });
    expect(checks(box, 'backups')).toEqual(['verified', 'verified']);
  });

  it('it may lack what was stored since: that is said, and is no damage', async () => {
    const box = await copied();
    const third = basename(box.goOn());
    const newer = `dom0 knows of a newer backup of this series in dom0:${box.backups}: ${third}`;
    const list = coffer(box, 'list', 'copy');
    expect(list.stderr).toContain(newer);
    expect(list.stderr).not.toContain('rolled back');
    const all = coffer(box, 'verify', '--all', 'copy');
    expect(all, all.stderr).toMatchObject({ status: 0 });
    expect(all.stdout).toContain('Verified: 2 of 3 files of the series');
    expect(all.stderr).toContain(newer);
    expect(all.stderr).toContain('1 file of the series that dom0 knows in');
    const rolling = coffer(box, 'verify', '--rolling', 'copy');
    expect(rolling).toMatchObject({ status: 5 });
    expect(rolling.stderr).toContain(`not know this series in this place, but in dom0:`);
  });
});

describe('when a copy of backups is pruned', () => {
  const rule = ['-y', '--keep-last', '1'];

  it('the next backup to the original place continues from all that is there', async () => {
    const box = await copied();
    const prune = coffer(box, 'prune', ...rule, 'copy');
    expect(prune, prune.stderr).toMatchObject({ status: 0 });
    expect(prune.stdout).toContain('Deleted: 1 file');
    const status = lastEvent(box.loud(['status', '--json']).stdout);
    expect(status['series']).toMatchObject([{ backups: 2 }]);
    const run = coffer(box, 'backup', '-y', 'backups');
    expect(run.stdout).toContain('continues from the 2 backups there');
    expect(run.stderr).not.toContain('lost');
  });

  it('it may lack what was stored since; but then, no list is signed for it', async () => {
    const box = await copied();
    const third = basename(box.goOn());
    const signed = coffer(box, 'prune', ...rule, '--list', 'copy');
    expect(signed).toMatchObject({ status: 5 });
    expect(signed.stderr).toContain(`does not show ${third}, which dom0 knows of in dom0:`);
    expect(signed.stderr).toContain('Copy them to this directory first');
    const prune = coffer(box, 'prune', ...rule, 'copy');
    expect(prune, prune.stderr).toMatchObject({ status: 0 });
    expect(readdirSync(join(box.backups, '../copy'))).toHaveLength(1);
  });
});
