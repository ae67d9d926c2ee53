import { RefusedError } from '../../shared/errors.ts';
import { type Qube, type Volume, savedVolumes } from '../qubes/qube.ts';
import type { Dom0Home } from '../qubes/system.ts';
import { type Selection, selectQubes } from './selection.ts';

/** What the system looks like before a backup. */
export interface Inventory {
  readonly qubes: readonly Qube[];
  readonly running: ReadonlySet<string>;
  readonly dom0Home: Dom0Home;
}

/** A VM in a backup: where it lies, and which of its volumes. */
export interface PlannedQube {
  readonly qube: Qube;
  /** Its directory in the archive, which tells nothing of its name: `vm5`. */
  readonly directory: string;
  readonly volumes: readonly Volume[];
  /** It runs: its last saved state is backed up, not what it works on now. */
  readonly running: boolean;
}

/** What a backup will hold. Pure data: shown, agreed to, then carried out. */
export interface BackupPlan {
  readonly qubes: readonly PlannedQube[];
  readonly dom0: Qube;
  /** Undefined when dom0's home is not backed up. */
  readonly dom0Home: Dom0Home | undefined;
}

export interface BackupChoices extends Selection {
  /** Whether a running VM is backed up as it was last saved, rather than refused. */
  readonly includeRunning: boolean;
}

/** Works out what to back up. Throws RefusedError or UsageError; touches nothing. */
export function planBackup(inventory: Inventory, choices: BackupChoices): BackupPlan {
  const selected = selectQubes(inventory.qubes, choices);
  const dom0 = inventory.qubes.find(({ qubeClass }) => qubeClass === 'AdminVM');
  if (dom0 === undefined)
    throw new RefusedError('this system has no dom0: it is not a Qubes system');
  const qubes = selected
    .filter((qube) => qube !== dom0)
    .sort((a, b) => a.qid - b.qid)
    .map((qube) => planQube(qube, inventory.running.has(qube.name)));
  if (!choices.includeRunning) refuseRunning(qubes);
  return { qubes, dom0, dom0Home: selected.includes(dom0) ? inventory.dom0Home : undefined };
}

/** The bytes that a volume will take before compression, as far as the system can tell. */
export function expectedBytes(volume: Volume): number {
  return volume.usage === undefined || volume.usage === 0 ? volume.size : volume.usage;
}

function planQube(qube: Qube, running: boolean): PlannedQube {
  return { qube, directory: `vm${qube.qid}`, volumes: savedVolumes(qube), running };
}

function refuseRunning(qubes: readonly PlannedQube[]): void {
  const names = qubes.filter(({ running }) => running).map(({ qube }) => qube.name);
  if (names.length === 0) return;
  const [verb, them] = names.length === 1 ? ['is', 'it'] : ['are', 'them'];
  throw new RefusedError(
    `${names.join(', ')} ${verb} running: shut ${them} down, leave ${them} out with -x, ` +
      `or back up the last saved state with --include-running`,
  );
}
