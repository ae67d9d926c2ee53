import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { differencesOf } from '../../tools/demo/compare.ts';
import { Box } from './box.ts';
import { lastEvent } from './events.ts';

describe('a backup through a VM agent', () => {
  it('can be listed, verified and restored into another system', async () => {
    const [old, fresh] = [await Box.full(), await Box.empty()];
    const backup = old.backUp();

    const list = old.coffer(['list', '-d', 'usb', ...old.secret, '--json', backup]);
    expect(list.status).toBe(0);
    const listed = lastEvent(list.stdout) as unknown as {
      qubes: { name: string }[];
      dom0Home: { used: number } | null;
    };
    expect(listed.qubes.map(({ name }) => name)).toEqual(['debian', 'work', 'vault']);
    expect(listed.dom0Home).toEqual({ used: expect.any(Number) as number });

    expect(old.coffer(['verify', '-d', 'usb', ...old.secret, backup])).toMatchObject({ status: 0 });

    old.copyTo(fresh, backup);
    const restore = ['restore', '-d', 'usb', ...fresh.secret, '-x', 'debian', '-y', backup];
    expect(fresh.coffer(restore)).toMatchObject({ status: 0 });
    expect(await differencesOf(old.directory, fresh.directory, ['work', 'vault'])).toEqual([]);
  });

  it('is the only file in its directory, under its final name', async () => {
    const box = await Box.full();
    box.backUp();
    expect(readdirSync(box.backups)).toHaveLength(1);
    expect(readdirSync(box.backups)[0]).toMatch(/^qubes-backup-\d{4}-\d\d-\d\dT\d{6}$/);
  });

  it('has a name of its own if several are made in the same second', async () => {
    const box = await Box.full();
    const backup = ['backup', '-d', 'usb', ...box.secret, '-y', 'backups'];
    const runs = ['work', 'vault', 'work', 'vault'].map((qube) => box.start([...backup, qube]));
    for (const ended of await Promise.all(runs.map((run) => once(run, 'close')))) {
      expect(ended).toEqual([0, null]);
    }
    const names = readdirSync(box.backups);
    expect(names).toHaveLength(4);
    for (const name of names) {
      expect(name).toMatch(/^qubes-backup-[-\d]{10}T\d{6}(-[234])?$/);
      const verify = ['verify', '-d', 'usb', ...box.secret, join('backups', name)];
      expect(box.coffer(verify)).toMatchObject({ status: 0 });
    }
  });

  it('can also go through a command, or into dom0 itself', async () => {
    const box = await Box.full();
    const common = [...box.secret, '-y'];
    const toCommand = ['backup', '-d', 'usb', '--command', ...common, 'cat > by-command', 'work'];
    expect(box.coffer(toCommand)).toMatchObject({ status: 0 });
    const fromCommand = ['verify', '-d', 'usb', '--command', ...box.secret, 'cat by-command'];
    expect(box.coffer(fromCommand)).toMatchObject({ status: 0 });

    expect(box.coffer(['backup', ...common, box.directory, 'work'])).toMatchObject({ status: 0 });
    const name = readdirSync(box.directory).find((each) => each.startsWith('qubes-backup-')) ?? '';
    const inDom0 = join(box.directory, name);
    expect(box.coffer(['verify', ...box.secret, inDom0])).toMatchObject({ status: 0 });
    expect(box.coffer(['verify', '--command', ...box.secret, `cat '${inDom0}'`])).toMatchObject({
      status: 0,
    });
  });

  it('contains what was chosen, and nothing of what was left out', async () => {
    const box = await Box.full();
    const backup = box.backUp(['--no-encrypt', '--compress-filter', 'none', '-x', 'vault']);
    const bytes = readFileSync(box.fileOf(backup));
    expect(bytes.includes('quarterly reports')).toBe(true);
    expect(bytes.includes('vault')).toBe(false);
    const onlyWork = ['backup', '-d', 'usb', '--no-encrypt', ...box.secret, '-y', '--command'];
    expect(box.coffer([...onlyWork, 'zstd > small', 'work'])).toMatchObject({ status: 0 });
  });

  it('can be restored in part and under a new name, and leaves what exists unchanged', async () => {
    const box = await Box.full();
    const backup = box.backUp();
    const before = box.state;
    const restore = ['restore', '-d', 'usb', ...box.secret, '-y', '--json'];
    const run = box.coffer([...restore, '--rename-conflicting', backup, 'work']);
    expect(run.status).toBe(0);
    const { qubes } = lastEvent(run.stdout) as unknown as {
      qubes: { name: string; result: string }[];
    };
    expect(qubes).toMatchObject([{ name: 'work-1', result: 'restored' }]);
    for (const line of before.split('\n').filter((each) => each.includes('/work/'))) {
      expect(box.state).toContain(line);
    }
    const image = (name: string): Buffer =>
      readFileSync(join(box.directory, 'appvms', name, 'private.img'));
    expect(image('work-1').equals(image('work'))).toBe(true);
  });

  it('can read the passphrase from standard input', async () => {
    const box = await Box.full();
    const backup = ['backup', '-d', 'usb', '-p', '-', '-y', 'backups', 'work'];
    expect(box.coffer(backup, 'from standard input\nno more\n')).toMatchObject({ status: 0 });
    const file = join('backups', readdirSync(box.backups)[0] ?? '');
    const verify = ['verify', '-d', 'usb', '-p', '-', file];
    expect(box.coffer(verify, 'from standard input')).toMatchObject({ status: 0 });
    expect(box.coffer(verify, 'something else\n')).toMatchObject({ status: 3 });
  });
});
