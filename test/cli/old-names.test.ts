import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { cleanUpAfterFile } from '../clean-up-after-file.ts';
import { openFolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import { makeQubes3 } from '../archive/qubes3/make-qubes3.ts';
import { Box, PASSPHRASE, type Run } from './box.ts';
import { lastEvent } from './events.ts';

/** The list of a backup of R3.2 in which some VMs have names and values that Qubes no longer accepts. */
const LIST = `<QubesVmCollection default_netvm="None" default_template="1">
  <QubesTemplateVm qid="1" name="debian" label="black" backup_content="False"/>
  <QubesAppVm qid="5" name="personal" label="blue" template_qid="1" backup_content="True" backup_path="vm5"/>
  <QubesAppVm qid="6" name="default" label="blue" template_qid="1" backup_content="True" backup_path="vm6"/>
  <QubesHVm qid="7" name="win7" label="blue" template_qid="none" backup_content="True" backup_path="vm7"
    default_user="John Smith" memory="lots"/>
  <QubesAppVm qid="8" name="my-dm" label="blue" template_qid="1" backup_content="False"/>
  <QubesAppVm qid="9" name="lost" label="blue" template_qid="1" backup_content="True" backup_path="../etc"/>
</QubesVmCollection>`;
const FILES = {
  'qubes.xml': LIST,
  'vm5/private.img': Buffer.alloc(200_000, 'personal'),
  'vm6/private.img': Buffer.alloc(100_000, 'default'),
  'vm7/root.img': Buffer.alloc(100_000, 'root'),
  'vm7/private.img': Buffer.alloc(100_000, 'win7'),
};

const cleanUp = cleanUpAfterFile();
let box: Box;
beforeAll(async () => {
  box = await Box.empty(cleanUp);
  const backup = makeQubes3({ version: 3, files: FILES, passphrase: PASSPHRASE, partSize: 65_536 });
  writeFileSync(join(box.backups, 'old'), backup);
});

const run = (command: string, ...args: string[]): Run =>
  box.coffer([command, '-d', 'usb', ...box.secret, ...args]);

interface Told {
  qubes: { name: string; result: string; remarks: string[] }[];
  unusable: { name: string; why: string }[];
}
const told = ({ stdout }: Run): Told => lastEvent(stdout) as unknown as Told;

describe('a backup of format 3 with old names and values', () => {
  it('is listed, with the names and values that change, and the VMs that cannot be restored', () => {
    const list = run('list', '--json', 'backups/old');
    expect(list.status, list.stderr).toBe(0);
    expect(told(list).qubes.map(({ name, remarks }) => [name, remarks])).toEqual([
      ['personal', []],
      ['default-1', [expect.stringContaining('called "default" in the backup')]],
      [
        'win7',
        [
          expect.stringContaining('memory "lots" left out'),
          expect.stringContaining('default_user "John Smith" left out'),
        ],
      ],
    ]);
    expect(told(list).unusable).toMatchObject([{ name: 'lost' }]);
  });

  it('is verified, except for the VMs that cannot be restored', () => {
    const verify = run('verify', '--json', 'backups/old');
    expect(verify.status, verify.stderr).toBe(0);
    expect(told(verify).qubes.map(({ name, result }) => `${name} ${result}`)).toEqual([
      'personal verified',
      'default-1 verified',
      'win7 verified',
      'lost left out',
    ]);
  });

  it('can be restored by old and new names', async () => {
    for (const [name, ...others] of [
      ['personal'],
      ['default'],
      ['win7', '-x', 'lost', '-x', 'default-1'],
    ]) {
      const restore = run('restore', '--json', '-y', 'backups/old', name ?? '', ...others);
      expect(restore.status, restore.stderr).toBe(0);
      expect(told(restore).qubes).toHaveLength(1);
    }
    const system = await openFolderSystem(box.directory);
    const names = [...(await system.qubes())].map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['personal', 'default-1', 'win7']));
    expect(names).not.toContain('default');
    expect(existsSync(join(box.directory, '../etc'))).toBe(false);
  });

  it('is refused with the reason if a VM that cannot be restored is named', () => {
    const restore = run('restore', '-y', 'backups/old', 'lost');
    expect(restore.status).toBe(5);
    expect(restore.stderr).toMatch(/lost: .*does not say where its files are/);
  });
});
