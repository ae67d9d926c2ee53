import type { Qube } from '../../dom0-agent/qubes/qube.ts';
import type { RestoreChoices } from '../../dom0-agent/restore/plan-input.ts';
import type { BackupContents } from '../../dom0-agent/qubes/backup-contents.ts';
import { type RestorePlan, planRestore } from '../../dom0-agent/restore/plan-restore.ts';
import type { SystemState } from '../../dom0-agent/restore/plan-input.ts';

/** A VM for plans. Settings are given as in `{ netvm: 'sys-net' }`. */
export function qube(
  name: string,
  settings: Record<string, string> = {},
  rest: Partial<Qube> = {},
): Qube {
  return {
    name,
    qubeClass: 'AppVM',
    qid: 1,
    uuid: undefined,
    label: 'blue',
    properties: new Map(Object.entries(settings)),
    features: new Map(),
    tags: new Set(),
    devices: [],
    volumes: [],
    ...rest,
  };
}

export const template = (name: string): Qube => qube(name, {}, { qubeClass: 'TemplateVM' });

export const NO_CHOICES: RestoreChoices = {
  chosen: [],
  excluded: [],
  renameConflicting: false,
  skipConflicting: false,
  ignoreMissing: false,
  skipBroken: false,
  skipDom0Home: false,
  ignoreUsernameMismatch: false,
  distrustSettings: false,
  pool: undefined,
};

/** A backup of these VMs. */
export function backupOf(qubes: readonly Qube[], homeOf?: string): BackupContents {
  return {
    created: undefined,
    qubes: qubes.map((each, i) => ({
      qube: each,
      directory: `vm${i + 1}`,
      size: 1000,
      remarks: [],
    })),
    dom0Home:
      homeOf === undefined ? undefined : { directory: 'dom0-home/home', user: homeOf, size: 5 },
    unusable: [],
  };
}

/** A system with these VMs besides dom0, and the usual labels. */
export function systemWith(
  qubes: readonly Qube[],
  defaults: Partial<SystemState['defaults']> = {},
): SystemState {
  const dom0 = qube('dom0', {}, { qubeClass: 'AdminVM', label: 'black' });
  return {
    qubes: new Map([dom0, ...qubes].map((each) => [each.name, each])),
    names: new Set([dom0, ...qubes].map(({ name }) => name)),
    labels: new Set(['red', 'blue', 'black']),
    defaults: { template: undefined, netvm: undefined, dispvm: undefined, ...defaults },
    dom0User: 'user',
    pools: [
      { name: 'varlibqubes', free: undefined, isDefault: true },
      { name: 'fast', free: undefined, isDefault: false },
    ],
    kernels: undefined,
  };
}

export function plan(
  contents: BackupContents,
  state: SystemState,
  choices: Partial<RestoreChoices> = {},
): RestorePlan {
  return planRestore(contents, state, { ...NO_CHOICES, ...choices });
}

/** The names of the VMs that a plan creates. */
export function newNames(planned: RestorePlan): string[] {
  return planned.qubes.map(({ newQube }) => newQube.name);
}
