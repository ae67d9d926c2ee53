import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { Box } from './box.ts';
import { lastEvent } from './events.ts';

/** A system, and a profile there that backs up these VMs. */
async function boxWithProfile(lines: readonly string[]): Promise<Box> {
  const box = await Box.full(onTestFinished);
  const profiles = join(box.directory, 'profiles');
  mkdirSync(profiles, { mode: 0o700 });
  const passphrase = join(profiles, 'passphrase');
  writeFileSync(passphrase, 'nightly passphrase\n', { mode: 0o600 });
  const text = ['location = backups', 'dest-vm = usb', `passphrase-file = ${passphrase}`, ...lines];
  writeFileSync(join(profiles, 'nightly.conf'), `${text.join('\n')}\n`, { mode: 0o600 });
  return box;
}

function backUp(box: Box): ReturnType<Box['loud']> {
  const environment = { COFFER_PROFILES: join(box.directory, 'profiles') };
  return box.loud(['backup', '--profile', 'nightly', '-y', '--json'], '', environment);
}

it('a profile that excludes a VM that no longer exists backs up the others, with a warning', async () => {
  const box = await boxWithProfile(['vm = work', 'exclude = gone']);
  const { status, stderr } = backUp(box);
  expect(stderr).toMatch(/warning: there is no VM called gone any more/);
  expect(status, stderr).toBe(0);
});

it('a profile that names a VM that no longer exists backs up the others, with exit status 1', async () => {
  const box = await boxWithProfile(['vm = work', 'vm = gone']);
  const { status, stdout, stderr } = backUp(box);
  expect(stderr).toMatch(/warning: there is no VM called gone, .* it is not backed up/);
  expect(status, stderr).toBe(1);
  const result = lastEvent(stdout) as unknown as {
    ok: boolean;
    qubes: readonly { name: string }[];
  };
  expect(result.ok).toBe(false);
  expect(result.qubes.map(({ name }) => name)).toEqual(['work']);
  expect(readdirSync(box.backups)).toHaveLength(1);
});

it('a profile that names only VMs that no longer exist is refused', async () => {
  const box = await boxWithProfile(['vm = gone']);
  const { status, stderr } = backUp(box);
  expect(stderr).toMatch(/there is no VM called gone on this system/);
  expect(status).toBe(5);
  expect(readdirSync(box.backups)).toEqual([]);
});
