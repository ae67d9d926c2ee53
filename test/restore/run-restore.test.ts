import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import type { ArchiveReader } from '../../dom0-agent/archive/archive.ts';
import { openQubesdSystem } from '../../dom0-agent/qubes/admin-api/qubesd-system.ts';
import type { FolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import type { Qube } from '../../dom0-agent/qubes/qube.ts';
import type { QubesSystem } from '../../dom0-agent/qubes/system.ts';
import { runRestore } from '../../dom0-agent/restore/run-restore.ts';
import { readSystemState } from '../../dom0-agent/restore/plan-input.ts';
import { DamagedError, InterruptedError } from '../../shared/errors.ts';
import { pieces } from '../qubes/folder/small-system.ts';
import { makeImportService } from '../qubesd/programs.ts';
import { makeScene, type Scene } from '../qubesd/scene.ts';
import { backupOf, plan, qube } from './planning.ts';
import { readerOf as readerOfFiles } from './reader-of.ts';
import { Warnings, emptySystem } from './restoring-system.ts';

const never = new AbortController().signal;
const NO_OPTIONS = { keepFailed: false, ignoreSizeLimit: false };

const privateVolume = { name: 'private', size: 8, usage: 8, pool: '', vid: '', saveOnStop: true };
const volumes = [privateVolume];

/** A backup with these files; VM number n has the volume `vm<n>/private.img`. `hook` is called before each file. */
function readerOf(paths: readonly string[], hook?: (path: string) => void): ArchiveReader {
  return readerOfFiles(
    paths.map((path) => [path, '12345678'] as const),
    hook,
  );
}

async function restore(
  qubes: readonly Qube[],
  reader: ArchiveReader,
  system: QubesSystem,
  { warnings = new Warnings(), signal = never, keepFailed = false } = {},
): ReturnType<typeof runRestore> {
  const planned = plan(backupOf(qubes), await readSystemState(system), { renameConflicting: true });
  return runRestore(planned, reader, system, { ...NO_OPTIONS, keepFailed }, warnings, signal);
}

const basedOn = (template: string, name: string, settings: Record<string, string> = {}): Qube =>
  qube(name, { template, ...settings }, { volumes });

describe('a restore', () => {
  const pair = [
    // Refers to a VM that comes later.
    basedOn('debian-13', 'mail', { netvm: 'vpn' }),
    basedOn('debian-13', 'vpn', { provides_network: 'True' }),
  ];
  const files = ['vm1/private.img', 'vm2/private.img'];

  it('sets references to VMs that come later', async () => {
    const { system } = await emptySystem();
    const outcomes = await restore(pair, readerOf(files), system);
    expect(outcomes.map(({ remarks }) => remarks)).toEqual([[], []]);
    const mail = (await system.qubes()).find(({ name }) => name === 'mail');
    expect(mail?.properties.get('netvm')).toBe('vpn');
  });

  it.each([
    ['lacks a file', ['vm1/private.img'], /does not contain vm2\/private.img/],
    ['contains a file twice', [...files, files[0] ?? ''], /contains vm1\/private.img twice/],
  ])('of a backup that %s leaves nothing behind', async (_, paths, sentence) => {
    const { system } = await emptySystem();
    const restoring = restore(pair, readerOf(paths), system);
    await expect(restoring).rejects.toThrow(DamagedError);
    await expect(restoring).rejects.toThrow(sentence);
    expect((await system.qubes()).map(({ name }) => name)).toEqual(['dom0', 'debian-13']);
  });

  it('that is interrupted leaves nothing behind, or tagged VMs with --keep-failed', async () => {
    for (const keepFailed of [false, true]) {
      const { system } = await emptySystem();
      const controller = new AbortController();
      const reader = readerOf(files, (path) => {
        if (path.startsWith('vm2')) controller.abort(new InterruptedError('interrupted'));
      });
      const { signal } = controller;
      await expect(restore(pair, reader, system, { signal, keepFailed })).rejects.toThrow(
        InterruptedError,
      );
      const [, , ...left] = await system.qubes();
      expect(left.map(({ name, label, tags }) => [name, label, ...tags])).toEqual(
        keepFailed
          ? [
              ['mail', 'red', 'backup-restore-in-progress', 'restore-failed'],
              ['vpn', 'red', 'backup-restore-in-progress', 'restore-failed'],
            ]
          : [],
      );
    }
  });

  /** A reader of these files, during which the user removes vpn, and may make another VM of that name. */
  function whileUserRemoves(
    system: FolderSystem,
    when: 'before its volume' | 'at the end',
    paths = files,
    isReplaced = true,
  ): ArchiveReader {
    const reader = readerOf(paths);
    const change = async (): Promise<void> => {
      await system.remove('vpn');
      if (!isReplaced) return;
      const wanted = { label: 'green', pool: undefined, template: 'debian-13' };
      await system.create({ ...wanted, name: 'vpn', qubeClass: 'AppVM' });
      await system.importVolume('vpn', 'private', 4, pieces([[0, 'mine']]), never);
    };
    return {
      ...reader,
      async *files(wanted) {
        for await (const file of reader.files(wanted)) {
          if (when === 'before its volume' && file.path.startsWith('vm2')) await change();
          yield file;
        }
        if (when === 'at the end') await change();
      },
    };
  }

  it.each(['before its volume', 'at the end'] as const)(
    'changes nothing in a VM that has taken the place of one that it made, %s',
    async (when) => {
      const { directory, system } = await emptySystem();
      const warnings = new Warnings();
      const reader = whileUserRemoves(system, when);
      const outcomes = await restore(pair, reader, system, { warnings });
      expect(outcomes).toMatchObject([
        { name: 'mail', result: 'restored in part' },
        {
          name: 'vpn',
          result: 'failed',
          remarks: [expect.stringContaining('there is another VM of that name now')],
        },
      ]);
      const vpn = (await system.qubes()).find(({ name }) => name === 'vpn');
      expect(vpn).toMatchObject({
        label: 'green',
        properties: new Map([['template', 'debian-13']]),
      });
      expect(await readFile(join(directory, 'appvms/vpn/private.img'), 'latin1')).toBe('mine');
      expect(warnings.texts.join('\n')).not.toContain('still there');
    },
  );

  it('that fails leaves a VM that has taken the place of one that it made', async () => {
    const { system } = await emptySystem();
    const reader = whileUserRemoves(system, 'before its volume', [...files, ...files]);
    await expect(restore(pair, reader, system)).rejects.toThrow(DamagedError);
    expect((await system.qubes()).map(({ name }) => name)).toEqual(['dom0', 'debian-13', 'vpn']);
  });

  it('does not say that a VM is still there that the user has removed', async () => {
    const { system } = await emptySystem();
    const warnings = new Warnings();
    const reader = whileUserRemoves(system, 'before its volume', files, false);
    const outcomes = await restore(pair, reader, system, { warnings });
    expect(outcomes).toMatchObject([{ name: 'mail' }, { name: 'vpn', result: 'failed' }]);
    expect(warnings.texts.join('\n')).not.toContain('still there');
  });

  it('refuses a volume that is larger than the backup says, unless that is ignored', async () => {
    const { system } = await emptySystem();
    const small = [
      qube('big', { template: 'debian-13' }, { volumes: [{ ...privateVolume, size: 7 }] }),
    ];
    const reader = readerOf(['vm1/private.img']);
    await expect(restore(small, reader, system)).rejects.toThrow(/--ignore-size-limit/);
    expect((await system.qubes()).map(({ name }) => name)).toEqual(['dom0', 'debian-13']);
    const planned = plan(backupOf(small), await readSystemState(system));
    const options = { keepFailed: false, ignoreSizeLimit: true };
    const outcomes = await runRestore(planned, reader, system, options, new Warnings(), never);
    expect(outcomes).toMatchObject([{ name: 'big', result: 'restored', size: 8 }]);
  });
});

const systemOf = ({ qubesd, directory }: Scene): QubesSystem =>
  openQubesdSystem({
    ...{ socketPath: qubesd.socketPath, restartTimeout: 200 },
    importService: makeImportService(directory, qubesd.socketPath),
  });
/** The system with this home: it does not come from qubesd, and this machine may have none. */
const withHome = (system: QubesSystem, path: string): QubesSystem => ({
  ...system,
  dom0Home: () => Promise.resolve({ user: 'user', path }),
});

describe('a qubesd that stops and does not come back', () => {
  const one = [basedOn('fedora-42-xfce', 'letters', { vcpus: '1' })];

  it('during the import of data makes the VM fail, with a warning that it must be removed', async () => {
    await using scene = await makeScene();
    const warnings = new Warnings();
    const reader = readerOf(['vm1/private.img'], () => void scene.qubesd.stop());
    const system = withHome(systemOf(scene), scene.directory);
    const outcomes = await restore(one, reader, system, { warnings });
    expect(outcomes).toMatchObject([{ name: 'letters', result: 'failed' }]);
    expect(warnings.texts.join('\n')).toMatch(
      /letters was restored only in part and is still there/,
    );
  });

  it('during the settings makes the VM fail, which is kept with its complete data', async () => {
    await using scene = await makeScene();
    const { qubesd } = scene;
    qubesd.fault = ({ method, arg }) => {
      if (method === 'admin.vm.property.Set' && arg === 'vcpus') void qubesd.stop();
      return undefined;
    };
    const system = withHome(systemOf(scene), scene.directory);
    const outcomes = await restore(one, readerOf(['vm1/private.img']), system);
    expect(outcomes).toMatchObject([{ name: 'letters', result: 'failed' }]);
    expect(outcomes[0]?.remarks[0]).toMatch(
      /data is complete, but not its settings: qubesd is not run/,
    );
    expect(qubesd.store.qubes.has('letters')).toBe(true);
  });
});

describe('a VM whose name a RemoteVM has', () => {
  it('is restored under another name', async () => {
    await using scene = await makeScene();
    const { store } = scene.qubesd;
    const work = store.qubes.get('work') ?? expect.fail();
    store.qubes.set('letters', { ...work, name: 'letters', klass: 'RemoteVM' });
    const system = withHome(systemOf(scene), scene.directory);
    const reader = readerOf(['vm1/private.img']);
    const outcomes = await restore([basedOn('fedora-42-xfce', 'letters')], reader, system);
    expect(outcomes).toMatchObject([{ name: 'letters-1', result: 'restored' }]);
  });
});
