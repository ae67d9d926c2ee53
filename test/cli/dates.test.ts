import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withPreloaded } from '../test-run.ts';
import { Box } from './box.ts';
import { lastEvent } from './events.ts';

const CLOCK = new URL('fixed-clock.cjs', import.meta.url).pathname;

/** A time, a time zone, a locale, and how coffer shows the time there. */
const MOMENTS = [
  ['2026-03-01T09:05:03Z', 'UTC', 'C', '2026-03-01 09:05:03 UTC'],
  ['2026-03-29T01:00:09Z', 'Europe/Berlin', 'de_DE.UTF-8', '2026-03-29 03:00:09 UTC+02:00'],
  ['2026-01-01T00:00:00Z', 'America/St_Johns', 'ar_EG.UTF-8', '2025-12-31 20:30:00 UTC-03:30'],
  ['2026-12-31T18:15:09Z', 'Asia/Kathmandu', 'th_TH.UTF-8', '2027-01-01 00:00:09 UTC+05:45'],
  ['2026-07-31T23:59:59Z', 'Pacific/Kiritimati', 'tr_TR.UTF-8', '2026-08-01 13:59:59 UTC+14:00'],
] as const;

describe.each(MOMENTS)('at %s in %s, with the locale %s', (clock, TZ, LC_ALL, shown) => {
  let box: Box;
  const environment = { TZ, LC_ALL, FIXED_CLOCK: clock, NODE_OPTIONS: withPreloaded(CLOCK) };
  const inName = shown.slice(0, 19).replace(' ', 'T').replaceAll(':', '');
  const backup = `backups/qubes-backup-${inName}`;
  const run = (command: string, ...args: string[]): string => {
    const { status, stdout, stderr } = box.loud([command, ...box.secret, ...args], '', environment);
    expect(status, stderr).toBe(0);
    return stdout;
  };

  beforeAll(async () => {
    box = await Box.full(() => undefined, 'dom0');
    run('backup', '-y', 'backups', 'vault', 'dom0');
  });
  afterAll(() => rmSync(box.directory, { recursive: true }));

  it('the name of a backup contains the local time', () => {
    expect(readdirSync(box.backups)).toContain(`qubes-backup-${inName}`);
  });

  it.each(['list', 'verify'])(`%s shows ${shown}`, (command) => {
    expect(run(command, backup)).toContain(`made on ${shown}, `);
  });

  it('list --json gives the time in UTC', () => {
    const { created } = lastEvent(run('list', '--json', backup)) as unknown as { created: string };
    expect(Date.parse(created)).toBe(Date.parse(clock));
  });

  it('the name of a restored home contains the local time', () => {
    expect(run('restore', '-y', backup, 'dom0')).toContain(`made on ${shown}, `);
    const home = join(box.home, `home-restore-${inName}`);
    expect(readdirSync(home)).toEqual(['letter']);
  });
});
