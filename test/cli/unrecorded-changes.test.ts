import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { Box } from './box.ts';

const cleanUps: (() => Promise<void>)[] = [];
afterAll(() => Promise.all(cleanUps.map((cleanUp) => cleanUp())));

it('a backup whose notes on the volumes cannot be written is recorded, and says which notes are missing', async () => {
  const box = await Box.full((cleanUp) => cleanUps.push(cleanUp));
  const backUp = () => box.loud(['backup', '-d', 'usb', ...box.secret, '-y', 'backups', 'work']);
  expect(backUp().status).toBe(0);
  const series = join(box.directory, 'dom0-state/series');
  const [note = ''] = readdirSync(series, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /volume\..*\.private\.json$/.test(name),
  );
  rmSync(join(series, note));
  mkdirSync(join(series, note));
  const { status, stderr } = backUp();
  expect(status).toBe(0);
  expect(stderr).toMatch(
    /^warning: what the volumes are like was not recorded, so the next backup/m,
  );
  expect(stderr).not.toContain('this backup was not recorded');
  rmSync(join(series, note), { recursive: true });
  expect(backUp().stdout).toContain('It continues from the 2 backups there');
});
