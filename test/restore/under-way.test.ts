import { describe, expect, it } from 'vitest';

import { openQubesdSystem } from '../../dom0-agent/qubes/admin-api/qubesd-system.ts';
import { runRestore } from '../../dom0-agent/restore/run-restore.ts';
import { readSystemState } from '../../dom0-agent/restore/plan-input.ts';
import type { Qube } from '../../dom0-agent/qubes/qube.ts';
import { messageOf } from '../../shared/errors.ts';
import type { Fault } from '../qubesd/server.ts';
import type { Call } from '../qubesd/methods.ts';
import { makeImportService } from '../qubesd/programs.ts';
import { makeScene, type Scene } from '../qubesd/scene.ts';
import { backupOf, plan, qube } from './planning.ts';
import { readerOf } from './reader-of.ts';
import { Warnings } from './restoring-system.ts';

const never = new AbortController().signal;
const OPTIONS = { keepFailed: false, ignoreSizeLimit: false };
const RULES = 'action=accept specialtarget=dns\naction=drop\n';
const FIREWALL_XML = `<firewall version="2"><rules>
  <rule><properties><property name="action">accept</property><property name="specialtarget">dns</property></properties></rule>
  <rule><properties><property name="action">drop</property></properties></rule>
</rules></firewall>`;

const privateVolume = { name: 'private', size: 8, usage: 8, pool: '', vid: '', saveOnStop: true };
const volumes = [privateVolume];

const letters = qube(
  'letters',
  { template: 'fedora-42-xfce', autostart: 'True', template_for_dispvms: 'True' },
  {
    volumes,
    features: new Map([
      ['preload-dispvm-max', '2'],
      ['service.cups', '1'],
    ]),
  },
);

const vault = qube('vault', { template: 'fedora-42-xfce', netvm: '' }, { volumes });

/** Restores these VMs, the first with a firewall; `watch` is called with each call before it is answered. */
async function restore(
  scene: Scene,
  qubes: readonly Qube[],
  watch: (call: Call) => Fault | undefined,
  warnings = new Warnings(),
): ReturnType<typeof runRestore> {
  const { qubesd, directory } = scene;
  const system = openQubesdSystem({
    socketPath: qubesd.socketPath,
    importService: makeImportService(directory, qubesd.socketPath),
  });
  const state = await readSystemState({
    ...system,
    dom0Home: () => Promise.resolve({ user: 'user', path: directory }),
  });
  const planned = plan(backupOf(qubes), state);
  qubesd.fault = watch;
  const files = new Map([
    ['vm1/firewall.xml', FIREWALL_XML],
    ...qubes.map((_, i) => [`vm${i + 1}/private.img`, '12345678'] as const),
  ]);
  return runRestore(planned, readerOf(files), system, OPTIONS, warnings, never);
}

describe('while a restore is running', () => {
  it('no VM can be started or has a network before everything is restored and its firewall is set', async () => {
    await using scene = await makeScene();
    const { store } = scene.qubesd;
    const seen: string[] = [];
    const outcomes = await restore(scene, [letters, vault], ({ method, dest }) => {
      for (const name of ['letters', 'vault']) {
        const made = store.qubes.get(name);
        // It contains nothing before the first import.
        if (made === undefined || !seen.includes('internal.vm.volume.ImportBegin')) continue;
        const isKept = !made.features.has('coffer-restoring');
        expect(made.tags.has('backup-restore-in-progress') || isKept).toBe(true);
        const isClosed = made.properties.get('netvm') === '';
        expect(isClosed || name === 'vault' || made.firewall === RULES).toBe(true);
        if (made.tags.has('backup-restore-in-progress')) {
          expect(made.properties.has('autostart')).toBe(false);
          expect(made.features.has('preload-dispvm-max')).toBe(false);
        }
      }
      seen.push(method, `${dest} ${method}`);
      return undefined;
    });
    expect(outcomes).toMatchObject([{ result: 'restored' }, { result: 'restored' }]);
    const [first, second] = ['letters', 'vault'].map((name) => store.qubes.get(name));
    for (const made of [first, second]) {
      expect([...(made?.tags ?? [])].join()).not.toContain('backup-restore');
      expect(made?.features.has('coffer-restoring')).toBe(false);
      expect(made?.properties.has('default_dispvm')).toBe(false);
    }
    expect(first?.properties.has('netvm')).toBe(false);
    expect(second?.properties.get('netvm')).toBe('');
    expect(first?.firewall).toBe(RULES);
    expect(first?.properties.get('autostart')).toBe('True');
    expect(first?.features.get('preload-dispvm-max')).toBe('2');
  });

  it('volumes get their settings before their VM can be started', async () => {
    await using scene = await makeScene();
    const kept = qube(
      'kept',
      { template: 'fedora-42-xfce' },
      {
        volumes: [
          { ...privateVolume, revisionsToKeep: -1 },
          { ...privateVolume, name: 'volatile', saveOnStop: false, ephemeral: true },
        ],
      },
    );
    const { store } = scene.qubesd;
    const outcomes = await restore(scene, [kept], ({ method, dest }) => {
      if (method.startsWith('admin.vm.volume.Set')) {
        expect(store.qubes.get(dest)?.tags.has('backup-restore-in-progress')).toBe(true);
      }
      return undefined;
    });
    expect(outcomes).toMatchObject([{ result: 'restored', remarks: [] }]);
    const made = store.qubes.get('kept')?.volumes;
    expect(made?.get('private')?.revisionsToKeep).toBe('-1');
    expect(made?.get('volatile')?.ephemeral).toBe(true);
  });

  it('qubesd refuses to start a VM that is being restored', async () => {
    await using scene = await makeScene();
    const starter = openQubesdSystem({ socketPath: scene.qubesd.socketPath });
    const answers: Promise<string>[] = [];
    await restore(scene, [letters], ({ method }) => {
      if (method === 'internal.vm.volume.ImportEnd') {
        answers.push(starter.start('letters').then(() => 'it runs', messageOf));
      }
      return undefined;
    });
    expect(await Promise.all(answers)).toEqual([
      expect.stringMatching(/Restore of this domain in progress, cannot start/),
    ]);
    await starter.start('letters');
  });

  it('a VM that is started before it has the tag gets no data from the backup', async () => {
    await using scene = await makeScene();
    const { store } = scene.qubesd;
    const warnings = new Warnings();
    const start = ({ method, dest }: Call): undefined => {
      const made = dest === 'letters' ? store.qubes.get(dest) : undefined;
      if (method === 'admin.vm.tag.Set' && made) made.state = 'Running';
      return undefined;
    };
    const outcomes = await restore(scene, [letters, vault], start, warnings);
    expect(outcomes).toMatchObject([
      { name: 'letters', result: 'failed' },
      { name: 'vault', result: 'restored' },
    ]);
    // An import would set the size of the volume.
    expect(store.qubes.get('letters')?.volumes.get('private')?.size).not.toBe(privateVolume.size);
    expect(store.qubes.get('vault')?.volumes.get('private')?.size).toBe(privateVolume.size);
    expect(warnings.texts.join('\n')).toMatch(
      /letters was restored only in part and is still there/,
    );
  });

  it.each(['admin.vm.firewall.Set', 'admin.vm.property.Reset'])(
    'a VM for which %s is refused remains without a netvm, with a remark',
    async (refused) => {
      await using scene = await makeScene();
      const outcomes = await restore(scene, [letters], ({ method }) =>
        method === refused
          ? { kind: 'exception', type: 'QubesValueError', message: 'not today' }
          : undefined,
      );
      expect(outcomes[0]?.result).toBe('restored in part');
      expect(outcomes[0]?.remarks.join()).toMatch(/netvm not set: .*it has none now/);
      const made = scene.qubesd.store.qubes.get('letters');
      expect(made?.properties.get('netvm')).toBe('');
      expect(made?.properties.get('default_dispvm')).toBe('');
    },
  );
});
