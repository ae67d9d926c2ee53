import { RefusedError } from '../../shared/errors.ts';
import { freeName } from '../qubes/qube.ts';
import type { LeftOut } from '../qubes/names-from-user.ts';
import type { Qube } from '../qubes/qube.ts';
import type { RestoreChoices } from './plan-input.ts';
import type { BackedUpQube, BackupContents } from '../qubes/backup-contents.ts';
import { type PlannedRestore, defaultTemplate, planQube } from './plan-qube.ts';
import {
  chosenReference,
  chosenTemplate,
  refuseOthers,
  requireFreeName,
} from './choices-for-qubes.ts';
import { References, inWords } from './references.ts';
import { requirePool } from './restore-space.ts';
import { selectContents } from '../contents/read-contents.ts';
import type { SystemState } from './plan-input.ts';

/** What a restore will do. Pure data: shown, confirmed, then carried out. */
export interface RestorePlan {
  /** In the order of creation: templates, templates of disposables, the rest. */
  readonly qubes: readonly PlannedRestore[];
  readonly dom0Home: BackupContents['dom0Home'];
  readonly dom0Paths?: BackupContents['dom0Paths'];
  /** What was selected but will not be restored, and why. */
  readonly leftOut: readonly LeftOut[];
}

/**
 * The tag of the disposable that runs the official paranoid restore: 85-admin-backup-restore.policy of
 * qubes-core-admin.
 */
const TAG_OF_OFFICIAL_RESTORE = 'backup-restore-mgmt';

/** A VM that will be restored, and the name that it will have. */
interface Candidate {
  readonly source: BackedUpQube;
  readonly qube: Qube;
  readonly newName: string;
}

/**
 * Plans a restore; changes nothing. Throws RefusedError, naming the VMs and the options that help, when it cannot be
 * carried out as requested, and UsageError.
 */
export function planRestore(
  contents: BackupContents,
  state: SystemState,
  choices: RestoreChoices,
): RestorePlan {
  refuseBesideOfficial(state);
  if (choices.pool !== undefined) requirePool(choices.pool, state.pools);
  const selected = selectContents(contents, choices.chosen, choices.excluded);
  refuseOthers(selected.qubes, choices);
  const leftOut: LeftOut[] = selected.unusable.map(({ name, why }) => ({ name, why }));
  const named = nameCandidates(selected.qubes, state, choices, leftOut);
  const whole = withoutBroken(named, state, choices, leftOut);
  const references = referencesOf(whole, state);
  const qubes = whole.map(({ source, newName }) =>
    planQube(source, newName, references, state, choices),
  );
  qubes.sort((a, b) => creationOrder(a.source.qube) - creationOrder(b.source.qube));
  const dom0Home = planHome(selected.dom0Home, state, choices, leftOut);
  const dom0Paths = planPaths(selected.dom0Paths, choices, leftOut);
  return { qubes, dom0Home, dom0Paths, leftOut };
}

/**
 * Throws RefusedError while Qubes' own paranoid restore is running: it allows a disposable to change VMs that are
 * being restored, and at its end allows all of them to be started.
 */
function refuseBesideOfficial({ qubes }: SystemState): void {
  const official = [...qubes.values()].find(({ tags }) => tags.has(TAG_OF_OFFICIAL_RESTORE));
  if (official === undefined) return;
  throw new RefusedError(
    `${official.name} is running a restore with Qubes' own tools, which could change what is restored here: wait ` +
      `until it has finished, or remove its tag ${TAG_OF_OFFICIAL_RESTORE} if no restore is running`,
  );
}

/** Gives each VM its new name, and leaves out or refuses those whose name is taken. */
function nameCandidates(
  sources: readonly BackedUpQube[],
  state: SystemState,
  choices: RestoreChoices,
  leftOut: LeftOut[],
): Candidate[] {
  const taken = new Set([...state.names, ...sources.map(({ qube }) => qube.name)]);
  const conflicting: string[] = [];
  const candidates: Candidate[] = [];
  const isChosen = ({ qube }: BackedUpQube): number => (choices.newName?.has(qube.name) ? 1 : 0);
  // Names that the user chose are assigned before free ones are looked for.
  for (const source of sources.toSorted((one, other) => isChosen(other) - isChosen(one))) {
    const { qube } = source;
    const chosen = choices.newName?.get(qube.name) ?? qube.name;
    if (chosen !== qube.name) {
      candidates.push({ source, qube, newName: requireFreeName(qube.name, chosen, state, taken) });
      taken.add(chosen);
      continue;
    }
    if (!state.names.has(qube.name)) {
      candidates.push({ source, qube, newName: qube.name });
      continue;
    }
    const newName = choices.renameConflicting ? freeName(qube.name, taken) : undefined;
    if (newName !== undefined) {
      taken.add(newName);
      candidates.push({ source, qube, newName });
    } else if (choices.skipConflicting) {
      leftOut.push({ name: qube.name, why: 'a VM of that name exists' });
    } else {
      conflicting.push(qube.name);
    }
  }
  if (conflicting.length > 0) {
    throw new RefusedError(
      `this system already has ${conflicting.join(', ')}: remove or rename what is there, ` +
        `or use --rename-conflicting, --skip-conflicting or -x`,
    );
  }
  return candidates;
}

/** Leaves out, or refuses, the VMs that lack a template, netvm or default DispVM. */
function withoutBroken(
  candidates: readonly Candidate[],
  state: SystemState,
  choices: RestoreChoices,
  leftOut: LeftOut[],
): Candidate[] {
  const references = referencesOf(candidates, state);
  const broken = new Map<Candidate, string>();
  for (const candidate of candidates) {
    const lack = lackOf(candidate, references, state, choices);
    if (lack !== undefined) broken.set(candidate, lack);
  }
  if (broken.size === 0) return [...candidates];
  if (!choices.skipBroken) {
    const all = [...broken].map(([{ qube }, lack]) => `${qube.name} needs ${lack}`);
    const [lacking, help] = choices.ignoreMissing
      ? [', nor a default to replace it', '--skip-broken']
      : [
          '',
          '--ignore-missing, --skip-broken or, to choose another, --use-template, --use-netvm or --use-dispvm',
        ];
    throw new RefusedError(
      `${all.join('; ')}, which this system does not have${lacking}: ` +
        `restore or install it first, or use ${help}`,
    );
  }
  for (const [{ qube }, lack] of broken) {
    leftOut.push({ name: qube.name, why: `it needs ${lack}, which this system does not have` });
  }
  // Other VMs may need those that were just left out.
  const rest = candidates.filter((candidate) => !broken.has(candidate));
  return withoutBroken(rest, state, choices, leftOut);
}

/** What a VM needs and will not exist, for messages; undefined when nothing is missing. */
function lackOf(
  { qube }: Candidate,
  references: References,
  state: SystemState,
  choices: RestoreChoices,
): string | undefined {
  const { ignoreMissing } = choices;
  for (const property of ['template', 'netvm', 'default_dispvm'] as const) {
    const value = qube.properties.get(property) ?? '';
    const chosen =
      property === 'template'
        ? chosenTemplate({ qube }, references, choices)
        : chosenReference(property, { qube }, references, state, choices);
    const found = chosen ?? references.resolve(qube, property, value);
    if (value === '' || found !== undefined) continue;
    const hasDefault = property !== 'template' || defaultTemplate(qube, state) !== undefined;
    if (ignoreMissing !== true || !hasDefault) return `${inWords(property)} ${value}`;
  }
  return undefined;
}

function referencesOf(candidates: readonly Candidate[], state: SystemState): References {
  return new References(new Map(candidates.map((each) => [each.qube.name, each])), state);
}

function planHome(
  home: BackupContents['dom0Home'],
  { dom0User }: SystemState,
  choices: RestoreChoices,
  leftOut: LeftOut[],
): BackupContents['dom0Home'] {
  if (home === undefined) return undefined;
  const why = choices.skipDom0Home
    ? 'as asked'
    : choices.distrustSettings
      ? 'settings are distrusted'
      : undefined;
  if (why !== undefined) {
    leftOut.push({ name: 'dom0', why: `its home is left out: ${why}` });
    return undefined;
  }
  if (home.user !== dom0User && !choices.ignoreUsernameMismatch) {
    throw new RefusedError(
      `the home of dom0 in the backup is that of ${home.user}, but dom0's user here is ` +
        `${dom0User}: use --ignore-username-mismatch or --skip-dom0-home`,
    );
  }
  return home;
}

function planPaths(
  paths: BackupContents['dom0Paths'],
  { distrustSettings }: RestoreChoices,
  leftOut: LeftOut[],
): BackupContents['dom0Paths'] {
  if (paths === undefined || distrustSettings !== true) return paths;
  leftOut.push({ name: 'dom0', why: 'its configuration is left out: settings are distrusted' });
  return undefined;
}

function creationOrder(qube: Qube): number {
  if (qube.qubeClass === 'TemplateVM') return 0;
  return qube.properties.get('template_for_dispvms') === 'True' ? 1 : 2;
}
