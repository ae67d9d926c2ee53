import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { isValidQubeName, type DeviceAssignment } from '../../dom0-agent/qubes/qube.ts';
import { freeName } from '../../dom0-agent/qubes/qube.ts';
import { ChoiceRefusedError } from '../../dom0-agent/restore/choices-for-qubes.ts';
import type { RestoreChoices } from '../../dom0-agent/restore/plan-input.ts';
import type { PlannedRestore } from '../../dom0-agent/restore/plan-qube.ts';
import type { RestorePlan } from '../../dom0-agent/restore/plan-restore.ts';
import { warnOfSpace } from '../../dom0-agent/restore/restore-space.ts';
import { RefusedError, UsageError } from '../../shared/errors.ts';
import { backupOf, newNames, plan, qube, systemWith, template } from './planning.ts';

const debian = template('debian');
const net = qube('sys-net', { template: 'debian', provides_network: 'True' });
const dvm = qube('dvm', { template: 'debian', template_for_dispvms: 'True' });
const work = qube('work', { template: 'debian', netvm: 'sys-net', default_dispvm: 'dvm' });

function planned(of: RestorePlan, name: string): PlannedRestore {
  const found = of.qubes.find(({ source }) => source.qube.name === name);
  if (found === undefined) throw new Error(`${name} is not in the plan`);
  return found;
}

describe('the VMs of a restore', () => {
  const contents = backupOf([debian, net, dvm, work], 'user');
  const empty = systemWith([]);

  it('are by default all VMs in the backup, with dom0’s home', () => {
    const all = plan(contents, empty);
    expect(newNames(all)).toEqual(['debian', 'dvm', 'sys-net', 'work']);
    expect(all.dom0Home).toBe(contents.dom0Home);
    expect(all.leftOut).toEqual([]);
  });

  it('are the chosen VMs, or all but the excluded ones', () => {
    const chosen = plan(contents, empty, { chosen: ['debian', 'sys-net', 'dom0'] });
    expect(newNames(chosen)).toEqual(['debian', 'sys-net']);
    expect(chosen.dom0Home).toBeDefined();
    const rest = plan(contents, empty, { excluded: ['work', 'dom0'] });
    expect(newNames(rest)).toEqual(['debian', 'dvm', 'sys-net']);
    expect(rest.dom0Home).toBeUndefined();
  });

  it('are refused if one is not in the backup or named twice, or if none is left', () => {
    expect(() => plan(contents, empty, { chosen: ['nosuch'] })).toThrow(/no VM called nosuch/);
    expect(() => plan(contents, empty, { excluded: ['nosuch'] })).toThrow(RefusedError);
    expect(() => plan(contents, empty, { chosen: ['work', 'work'] })).toThrow(UsageError);
    expect(() => plan(contents, empty, { chosen: ['work'], excluded: ['work'] })).toThrow(
      /there is nothing left to do/,
    );
  });

  it('do not include unusable ones, which are reported, or refused if they are named', () => {
    const odd = {
      ...contents,
      unusable: [{ name: 'far', why: 'it is a RemoteVM', directory: 'vm9' }],
    };
    expect(plan(odd, empty).leftOut).toEqual([{ name: 'far', why: 'it is a RemoteVM' }]);
    expect(plan(odd, empty, { excluded: ['far'] }).leftOut).toEqual([]);
    expect(() => plan(odd, empty, { chosen: ['far'] })).toThrow(/far: it is a RemoteVM/);
  });

  it('are in an order in which they can be created', () => {
    const named = qube('disp1', { template: 'dvm' }, { qubeClass: 'DispVM' });
    const order = newNames(plan(backupOf([work, named, net, dvm, debian]), empty));
    expect(order).toEqual(['debian', 'dvm', 'work', 'disp1', 'sys-net']);
  });
});

it('a restore is refused while Qubes’ own tools restore in a disposable', () => {
  const official = qube('disp-backup-restore', {}, { tags: new Set(['backup-restore-mgmt']) });
  const refused = (): unknown => plan(backupOf([work]), systemWith([official]));
  expect(refused).toThrow(RefusedError);
  expect(refused).toThrow(/^disp-backup-restore is running a restore with Qubes' own tools/);
});

describe('a name that is chosen for a VM', () => {
  const contents = backupOf([debian, net, dvm, work]);
  const refusal = (newName: Record<string, string>, state = systemWith([])): unknown => {
    const choices = { newName: new Map(Object.entries(newName)), renameConflicting: true };
    return () => plan(contents, state, choices);
  };

  it('is given to it, and references to it are changed', () => {
    const chosen = plan(contents, systemWith([]), { newName: new Map([['debian', 'old']]) });
    expect(newNames(chosen)).toEqual(['old', 'dvm', 'sys-net', 'work']);
    expect(planned(chosen, 'work').newQube.template).toBe('old');
    expect(planned(chosen, 'debian').remarks).toEqual(['it was called debian in the backup']);
  });

  it('is not given to another VM that needs a free name', () => {
    const newName = new Map([['work', 'debian-1']]);
    const chosen = plan(contents, systemWith([debian]), { newName, renameConflicting: true });
    expect(newNames(chosen)).toContain('debian-2');
  });

  it.each([
    [
      'there is a VM with that name',
      { work: 'taken' },
      /work cannot .* taken: this system already has/,
    ],
    ['another VM in the backup has it', { work: 'debian' }, /work cannot .* debian: another VM/],
    ['it is chosen for two VMs', { work: 'x', dvm: 'x' }, /cannot .* x: another VM/],
    ['it is not valid', { work: 'my work' }, /work cannot .* my work: a name begins/],
    ['the VM is not restored', { nosuch: 'x' }, /--new-name: nosuch is not among/],
  ])('is refused if %s, with the name of the VM', (_, newName, sentence) => {
    const refused = refusal(newName, systemWith([qube('taken')]));
    expect(refused).toThrow(sentence);
    expect(refused).toThrow(ChoiceRefusedError);
  });
});

describe('a template that is chosen for a VM', () => {
  const contents = backupOf([work]);
  const here = systemWith([net, dvm, template('new'), qube('app')]);
  const chosen = (name: string, of = contents): RestorePlan =>
    plan(of, here, { useTemplate: new Map([['work', name]]) });

  it('replaces that of the backup', () => {
    expect(planned(chosen('new'), 'work').newQube.template).toBe('new');
    expect(planned(chosen('new'), 'work').remarks).toEqual(['template new instead of debian']);
    const restored = chosen('debian', backupOf([debian, work]));
    expect(planned(restored, 'work').remarks).toEqual([]);
  });

  it('is refused if it does not exist or is not a template, or if the VM has none', () => {
    expect(() => chosen('nosuch')).toThrow(/work cannot be based on nosuch: there is no such/);
    expect(() => chosen('app')).toThrow(/work cannot be based on app: there is no such/);
    const alone = backupOf([qube('work', {}, { qubeClass: 'StandaloneVM' })]);
    expect(() => chosen('new', alone)).toThrow(/a StandaloneVM has no template/);
  });
});

describe('a netvm, default DispVM or kernel that is chosen for a VM', () => {
  const refers = { netvm: 'vpn', default_dispvm: 'old', kernel: '5.15.94-1' };
  const contents = backupOf([qube('work', { template: 'debian', ...refers })]);
  const here = { ...systemWith([debian, net, dvm, qube('app')]), kernels: new Set(['6.6.48-1']) };
  const chosen = (choices: Partial<RestoreChoices>): PlannedRestore =>
    planned(plan(contents, here, { ignoreMissing: true, ...choices }), 'work');
  const work = (name: string): ReadonlyMap<string, string> => new Map([['work', name]]);

  it('replaces that of the backup, so that nothing is missing', () => {
    const { properties, remarks } = planned(
      plan(contents, here, {
        ...{ useNetvm: work('sys-net'), useDispvm: work('dvm'), useKernel: work('6.6.48-1') },
      }),
      'work',
    );
    expect(Object.fromEntries(properties)).toEqual({
      ...{ netvm: 'sys-net', default_dispvm: 'dvm', kernel: '6.6.48-1' },
    });
    expect(remarks).toEqual([
      'netvm sys-net instead of vpn',
      'default DispVM dvm instead of old',
      'kernel 6.6.48-1 instead of 5.15.94-1',
    ]);
  });

  it('can be none, or the default', () => {
    const { properties } = chosen({ useNetvm: work('none'), useDispvm: work('default') });
    expect(Object.fromEntries(properties)).toEqual({ netvm: '' });
    expect(() => plan(contents, here, { useNetvm: work('none') })).toThrow(
      /work needs default DispVM old/,
    );
  });

  it('is refused if it does not exist or is unsuitable, or if the VM is not restored', () => {
    for (const [option, choices] of [
      ['use-netvm', { useNetvm: work('app') }],
      ['use-dispvm', { useDispvm: work('app') }],
      ['use-kernel', { useKernel: work('none') }],
    ] as const) {
      const refused = (): unknown => chosen(choices);
      expect(refused).toThrow(/^work cannot have the .*: there is none of that name here/);
      expect(refused).toThrow(ChoiceRefusedError);
      expect(refusalOf(refused)).toMatchObject({ option, vm: 'work' });
    }
    expect(() => chosen({ useNetvm: new Map([['nosuch', 'sys-net']]) })).toThrow(
      /--use-netvm: nosuch is not among/,
    );
  });

  it('is the default kernel if that of the backup is missing and none is chosen', () => {
    expect(chosen({}).properties.has('kernel')).toBe(false);
    expect(chosen({}).remarks).toContain("kernel this system's default instead of 5.15.94-1");
    const unknown = plan(contents, { ...here, kernels: undefined }, { ignoreMissing: true });
    expect(planned(unknown, 'work').properties.get('kernel')).toBe('5.15.94-1');
  });
});

function refusalOf(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    return error;
  }
}

describe('a name that is taken', () => {
  const contents = backupOf([debian, net, dvm, work]);
  const taken = systemWith([debian, net, dvm, qube('work'), qube('work-1')]);

  it('is refused with the names of the VMs and the options that help', () => {
    const refused = (): unknown => plan(contents, taken);
    expect(refused).toThrow(RefusedError);
    expect(refused).toThrow(/has debian, sys-net, dvm, work.*--rename-conflicting.*--skip-conf/);
  });

  it('can be replaced by a new one, and references are changed', () => {
    const renamed = plan(contents, taken, { renameConflicting: true });
    expect(newNames(renamed)).toEqual(['debian-1', 'dvm-1', 'sys-net-1', 'work-2']);
    const { newQube, properties, remarks } = planned(renamed, 'work');
    expect(newQube.template).toBe('debian-1');
    expect(Object.fromEntries(properties)).toEqual({ netvm: 'sys-net-1', default_dispvm: 'dvm-1' });
    expect(remarks).toEqual(['the name work is taken']);
  });

  it('can be skipped, and references then mean the existing VM', () => {
    const state = systemWith([debian, net, dvm]);
    const skipped = plan(contents, state, { skipConflicting: true });
    expect(newNames(skipped)).toEqual(['work']);
    expect(skipped.leftOut.map(({ name }) => name)).toEqual(['debian', 'sys-net', 'dvm']);
    expect(planned(skipped, 'work').newQube.template).toBe('debian');
  });

  it('is replaced by a valid and free one', () => {
    const name = fc
      .tuple(fc.constantFrom('a', 'Z'), fc.stringMatching(/^[a-zA-Z0-9_.-]{0,30}$/))
      .map((parts) => parts.join(''))
      .filter(isValidQubeName);
    fc.assert(
      fc.property(name, fc.array(name), fc.nat(20), (wanted, others, count) => {
        const all = new Set([wanted, ...others]);
        for (let i = 0; i < count; i++) {
          const free = freeName(wanted, all);
          expect(free !== undefined && isValidQubeName(free) && !all.has(free)).toBe(true);
          all.add(free ?? '');
        }
      }),
    );
    expect(freeName('x'.repeat(31), new Set())).toBe(`${'x'.repeat(29)}-1`);
  });

  it('is not replaced by the name of another VM in the backup', () => {
    const both = backupOf(
      [work, qube('work-1')].map((each) => ({ ...each, properties: new Map() })),
    );
    const renamed = plan(both, systemWith([qube('work')]), { renameConflicting: true });
    expect(newNames(renamed)).toEqual(['work-2', 'work-1']);
  });
});

describe('a VM that lacks something', () => {
  const contents = backupOf([work]);
  const defaults = { template: 'fedora', netvm: 'sys-firewall', dispvm: 'usual-dvm' };
  const state = systemWith([template('fedora')], defaults);

  it.each([
    ['no such template', 'template debian', [net, dvm]],
    ['no such net VM', 'netvm sys-net', [debian, dvm]],
    ['no such default DispVM', 'default DispVM dvm', [debian, net]],
    ['a VM that is not a template', 'template debian', [qube('debian'), net, dvm]],
    ['a VM that provides no network', 'netvm sys-net', [debian, qube('sys-net'), dvm]],
    ['a VM that is not for disposables', 'default DispVM dvm', [debian, net, qube('dvm')]],
  ])('is refused if there is %s', (_, lack, present) => {
    expect(() => plan(contents, systemWith(present))).toThrow(
      `work needs ${lack}, which this system does not have: restore or install it first, ` +
        `or use --ignore-missing, --skip-broken or, to choose another, --use-template, --use-netvm or --use-dispvm`,
    );
  });

  it('gets the system’s defaults if requested, with remarks', () => {
    const { newQube, properties, remarks } = planned(
      plan(contents, state, { ignoreMissing: true }),
      'work',
    );
    expect(newQube.template).toBe('fedora');
    expect(properties.size).toBe(0);
    expect(remarks).toEqual([
      'template fedora instead of debian',
      "netvm sys-firewall, this system's default, instead of sys-net",
      "default DispVM usual-dvm, this system's default, instead of dvm",
    ]);
  });

  it('is refused even then if there is no default template', () => {
    expect(() => plan(contents, systemWith([]), { ignoreMissing: true })).toThrow(
      /, nor a default to replace it: restore or install it first, or use --skip-broken$/,
    );
  });

  it('is left out if requested, like the VMs that need it', () => {
    const named = qube('disp1', { template: 'dvm' }, { qubeClass: 'DispVM' });
    const vpn = qube('vpn', { netvm: 'nosuch', provides_network: 'True' });
    const chain = backupOf([
      qube('dvm', { template: 'gone' }),
      named,
      vpn,
      qube('mail', { netvm: 'vpn' }),
      debian,
    ]);
    const rest = plan(chain, systemWith([]), { skipBroken: true });
    expect(newNames(rest)).toEqual(['debian']);
    expect(rest.leftOut).toEqual([
      { name: 'dvm', why: 'it needs template gone, which this system does not have' },
      { name: 'disp1', why: 'it needs template dvm, which this system does not have' },
      { name: 'vpn', why: 'it needs netvm nosuch, which this system does not have' },
      { name: 'mail', why: 'it needs netvm vpn, which this system does not have' },
    ]);
  });

  it('and is a named disposable gets the default DispVM as its template', () => {
    const named = backupOf([qube('disp1', { template: 'gone' }, { qubeClass: 'DispVM' })]);
    const instead = plan(named, state, { ignoreMissing: true });
    expect(planned(instead, 'disp1').newQube.template).toBe('usual-dvm');
  });

  it('gets the label red if its own does not exist', () => {
    const odd = backupOf([qube('work', {}, { label: 'mauve' })]);
    const { newQube, remarks } = planned(plan(odd, systemWith([])), 'work');
    expect(newQube.label).toBe('red');
    expect(remarks).toEqual(['label red, since mauve does not exist here']);
  });
});

describe('the settings of a restore', () => {
  const device = (backend: string): DeviceAssignment => ({
    deviceClass: 'block',
    backend,
    port: 'sda1',
    fields: new Map(),
  });
  const all = qube(
    'work',
    {
      ...{ guivm: 'gui', audiovm: 'gui', management_dispvm: 'dvm', kernel: '6.1', vcpus: '2' },
      ...{ netvm: '', installed_by_rpm: 'True', template: 'debian' },
    },
    {
      features: new Map([
        ['menu-items', 'x.desktop'],
        ['preload-dispvm', 'disp1 disp2'],
        ['service.cups', '1'],
      ]),
      tags: new Set(['created-by-dom0', 'guivm-gui', 'audiovm-gui', 'mine']),
      devices: [device('gui'), device('nosuch')],
    },
  );
  const contents = backupOf([all, qube('gui'), dvm, debian], 'user');
  const busy = systemWith([qube('gui'), qube('dvm')]);

  it('have changed references, and exclude what belongs to the old system', () => {
    const of = planned(plan(contents, busy, { renameConflicting: true }), 'work');
    expect(Object.fromEntries(of.properties)).toEqual({
      ...{ guivm: 'gui-1', audiovm: 'gui-1', management_dispvm: 'dvm-1' },
      ...{ kernel: '6.1', vcpus: '2', netvm: '' },
    });
    expect([...of.features.keys()]).toEqual(['menu-items', 'service.cups']);
    expect([...of.tags]).toEqual(['mine']);
    expect(of.devices).toEqual([device('gui-1')]);
    expect(of.remarks).toEqual(['device sda1 left out: there is no VM nosuch here']);
    expect(of.withMenu).toBe(true);
  });

  it('exclude everything with effects if they are distrusted, with remarks', () => {
    const distrusting = plan(contents, systemWith([]), { distrustSettings: true });
    const of = planned(distrusting, 'work');
    expect([...of.properties.keys()].sort()).toEqual(['netvm', 'vcpus']);
    expect([...of.features.keys()]).toEqual(['service.cups']);
    expect([...of.tags]).toEqual([]);
    expect(of.devices).toEqual([]);
    expect(of.withMenu).toBe(false);
    expect(of.remarks).toEqual([
      ...['guivm', 'audiovm', 'management_dispvm', 'kernel'].map(
        (property) => `property ${property} left out: settings are distrusted`,
      ),
      'feature menu-items left out: settings are distrusted',
      'tag mine left out: settings are distrusted',
      'device gui:sda1 left out: settings are distrusted',
      'device nosuch:sda1 left out: settings are distrusted',
    ]);
    expect(distrusting.dom0Home).toBeUndefined();
    expect(distrusting.leftOut).toEqual([
      { name: 'dom0', why: 'its home is left out: settings are distrusted' },
    ]);
  });

  it('include what restricts a VM even if they are distrusted', () => {
    const restricted = qube(
      'anon',
      {
        ...{ guivm: '', audiovm: '', netvm: '', autostart: 'True', virt_mode: 'pv' },
        devices_denied: 'u03****',
      },
      {
        features: new Map([
          ['prohibit-start', 'compromised'],
          ['gui-allow-fullscreen', ''],
          ['gui-allow-utf8-titles', '1'],
        ]),
        tags: new Set(['anon-vm', 'may-sign']),
      },
    );
    const of = planned(
      plan(backupOf([restricted]), systemWith([]), { distrustSettings: true }),
      'anon',
    );
    expect([...of.properties.keys()]).toEqual(['guivm', 'audiovm', 'netvm', 'devices_denied']);
    expect([...of.features.keys()]).toEqual(['prohibit-start', 'gui-allow-fullscreen']);
    expect([...of.tags]).toEqual(['anon-vm']);
  });

  it('exclude the marks of a restore', () => {
    const tags = new Set(['backup-restore-mgmt', 'backup-restore-in-progress', 'mine']);
    const evil = qube('evil', {}, { tags, features: new Map([['coffer-restoring', 'x evil']]) });
    const of = planned(plan(backupOf([evil]), systemWith([])), 'evil');
    expect([...of.tags]).toEqual(['mine']);
    expect([...of.features]).toEqual([]);
  });

  it('include those of volumes that belong to the VM', () => {
    const volume = { size: 8, usage: 8, pool: '', vid: '' };
    const kept = qube(
      'kept',
      {},
      {
        volumes: [
          { ...volume, name: 'root', saveOnStop: false, revisionsToKeep: 3, ephemeral: false },
          { ...volume, name: 'private', saveOnStop: true, revisionsToKeep: 4 },
          { ...volume, name: 'volatile', saveOnStop: false, revisionsToKeep: 0, ephemeral: true },
        ],
      },
    );
    const of = planned(plan(backupOf([kept]), systemWith([])), 'kept');
    expect(Object.fromEntries(of.volumes)).toEqual({
      private: { revisionsToKeep: 4 },
      volatile: { ephemeral: true },
    });
    const distrusting = planned(
      plan(backupOf([kept]), systemWith([]), { distrustSettings: true }),
      'kept',
    );
    expect(Object.fromEntries(distrusting.volumes)).toEqual({ volatile: { ephemeral: true } });
    expect(distrusting.remarks).toContain('revisions of private left out: settings are distrusted');
  });

  it('are refused with a pool that does not exist', () => {
    const refused = (): unknown => plan(contents, systemWith([]), { pool: 'nosuch' });
    expect(refused).toThrow(RefusedError);
    expect(refused).toThrow(/no storage pool called nosuch .*it has varlibqubes, fast/);
  });

  it('have the chosen pool', () => {
    const pooled = plan(contents, systemWith([]), { pool: 'fast' });
    expect(pooled.qubes.map(({ newQube }) => newQube.pool)).toEqual(Array(4).fill('fast'));
  });
});

describe('the free space in the pool', () => {
  const pools = [
    { name: 'varlibqubes', free: 1999, isDefault: true },
    { name: 'fast', free: 2100, isDefault: false },
    { name: 'odd', free: undefined, isDefault: false },
  ];
  const volume = { name: 'private', usage: undefined, pool: '', vid: '', saveOnStop: true };
  /** Two VMs of 1000 bytes in volumes of this size. */
  const twoIn = (size: number): RestorePlan => {
    const volumes = [{ ...volume, size }];
    return plan(backupOf([qube('a', {}, { volumes }), qube('b', {}, { volumes })]), systemWith([]));
  };

  it('is refused if it is not sufficient, in the default pool if none is chosen', () => {
    const refused = (): unknown => warnOfSpace(twoIn(5000), pools, undefined);
    expect(refused).toThrow(RefusedError);
    expect(refused).toThrow(
      /in the pool varlibqubes: at least 1.95 KiB are to be restored, and 1.95 KiB are free/,
    );
  });

  it('gives a warning if it may not be sufficient for the full size of the volumes', () => {
    expect(warnOfSpace(twoIn(1000), pools, undefined)).toMatch(/may not fit into the pool varlib/);
    expect(warnOfSpace(twoIn(5000), pools, 'fast')).toMatch(/may not fit into the pool fast/);
  });

  it('is accepted if it is sufficient or unknown', () => {
    expect(warnOfSpace(twoIn(5000), pools, 'odd')).toBeUndefined();
    const roomy = [{ name: 'roomy', free: 1e6, isDefault: true }];
    expect(warnOfSpace(twoIn(5000), roomy, undefined)).toBeUndefined();
  });
});

describe('dom0’s home in the plan of a restore', () => {
  const state = systemWith([]);
  const someone = backupOf([debian], 'someone');

  it('of another user is refused, unless that is allowed', () => {
    expect(() => plan(someone, state)).toThrow(/that of someone, but .* user: use --ignore-user/);
    expect(plan(someone, state, { ignoreUsernameMismatch: true }).dom0Home).toBeDefined();
  });

  it('is left out if requested', () => {
    const without = plan(someone, state, { skipDom0Home: true });
    expect(without.dom0Home).toBeUndefined();
    expect(without.leftOut).toEqual([{ name: 'dom0', why: 'its home is left out: as asked' }]);
    expect(plan(someone, state, { excluded: ['dom0'] }).leftOut).toEqual([]);
  });
});
