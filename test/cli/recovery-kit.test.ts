import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { withPreloaded } from '../test-run.ts';
import { Box } from './box.ts';

const CLOCK = fileURLToPath(new URL('fixed-clock.cjs', import.meta.url));
const cleanUps: (() => Promise<void>)[] = [];
afterAll(() => Promise.all(cleanUps.map((cleanUp) => cleanUp())));

it('a backup without its recover.sh, because that cannot be stored, is reported as stored', async () => {
  const box = await Box.full((cleanUp) => cleanUps.push(cleanUp));
  const backup = 'qubes-backup-2026-02-01T120000';
  writeFileSync(join(box.backups, `${backup}.recover.sh`), '');
  const clock = { NODE_OPTIONS: withPreloaded(CLOCK), FIXED_CLOCK: '2026-02-01T12:00:00Z' };
  const args = ['backup', '-d', 'usb', ...box.secret, '-y', '--with-recovery', 'backups', 'work'];
  const { status, stderr } = box.coffer(args, '', { ...clock, TZ: 'UTC' });
  expect(status).toBe(4);
  expect(stderr).toMatch(
    new RegExp(
      `^coffer: the backup is stored in usb:\\S+/${backup}, without recover\\.sh and its instructions: .*already`,
      'm',
    ),
  );
  expect(readdirSync(box.backups)).toContain(backup);
});
