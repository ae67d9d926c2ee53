import { RefusedError } from '../../shared/errors.ts';
import type { LeftOut } from '../qubes/names-from-user.ts';
import { type Qube, type Volume, savedVolumes } from '../qubes/qube.ts';
import type { Dom0Home } from '../qubes/system.ts';
import type { BackupSources } from './backup-sources.ts';
import { type Selection, selectQubes } from './select-for-backup.ts';

/** A VM in a backup, and which of its volumes are backed up. */
export interface PlannedQube {
  readonly qube: Qube;
  /** Its directory in the archive, which does not reveal its name: `vm5`. */
  readonly directory: string;
  readonly volumes: readonly Volume[];
  /** It is running: its last saved state is backed up, not its current state. */
  readonly running: boolean;
}

/** What a backup will contain. Pure data: shown, confirmed, then carried out. */
export interface BackupPlan {
  readonly qubes: readonly PlannedQube[];
  readonly dom0: Qube;
  /** Undefined when dom0's home is not backed up. */
  readonly dom0Home: Dom0Home | undefined;
  /** Every other VM of the system. */
  readonly leftOut: readonly LeftOut[];
  /** The names of those VMs in it that are halted, and have written something which is not in their saved state. */
  readonly uncommitted: readonly string[];
  /** The names among `excludedIfThere` that no VM has. */
  readonly gone: readonly string[];
}

/** What to do with a running VM: back up its last saved state, leave it out, or refuse everything. */
export const RUNNING_CHOICES = ['include', 'skip', 'refuse'] as const;
export type RunningChoice = (typeof RUNNING_CHOICES)[number];

export interface BackupChoices extends Selection {
  readonly running: RunningChoice;
}

/** Plans what to back up; changes nothing. Throws RefusedError or UsageError. */
export function planBackup(inventory: BackupSources, choices: BackupChoices): BackupPlan {
  const selected = selectQubes(inventory.qubes, inventory.listed, choices);
  const dom0 = inventory.qubes.find(({ qubeClass }) => qubeClass === 'AdminVM');
  if (dom0 === undefined)
    throw new RefusedError('this system has no dom0: it is not a Qubes system');
  const withHome = selected.qubes.includes(dom0);
  const planned = selected.qubes
    .filter((qube) => qube !== dom0)
    .sort((a, b) => a.qid - b.qid)
    .map((qube) => planQube(qube, inventory.running.has(qube.name)));
  const { qubes, skipped } = withRunning(planned, choices.running);
  refuseUnreadable(qubes, inventory);
  if (qubes.length === 0 && !withHome) {
    throw new RefusedError('there is nothing to back up: every VM that was chosen is running');
  }
  const known = new Set(inventory.qubes.map(({ name }) => name));
  return {
    qubes,
    dom0,
    dom0Home: withHome ? inventory.dom0Home : undefined,
    uncommitted: qubes
      .map(({ qube }) => qube.name)
      .filter((name) => inventory.uncommitted.has(name)),
    leftOut: [...skipped, ...selected.leftOut],
    gone: choices.excludedIfThere.filter((name) => !known.has(name)),
  };
}

/** The bytes of data in a volume before compression; its whole size if its usage is unknown. */
export function expectedBytes(volume: Volume): number {
  return volume.usage ?? volume.size;
}

function planQube(qube: Qube, running: boolean): PlannedQube {
  return { qube, directory: `vm${qube.qid}`, volumes: savedVolumes(qube), running };
}

/** Includes, skips or refuses the running VMs. Throws RefusedError. */
function withRunning(
  planned: readonly PlannedQube[],
  choice: RunningChoice,
): { qubes: readonly PlannedQube[]; skipped: LeftOut[] } {
  const running = planned.filter((each) => each.running);
  if (choice === 'include' || running.length === 0) return { qubes: planned, skipped: [] };
  const names = running.map(({ qube }) => qube.name);
  if (choice === 'skip') {
    const skipped = names.map((name) => ({ name, why: 'running' }));
    return { qubes: planned.filter((each) => !each.running), skipped };
  }
  const [verb, them, their] = names.length === 1 ? ['is', 'it', 'its'] : ['are', 'them', 'their'];
  throw new RefusedError(
    `${names.join(', ')} ${verb} running: shut ${them} down, leave ${them} out with -x or ` +
      `--running skip, or back up ${their} last saved state with --running include`,
  );
}

/** Throws RefusedError for a VM with a volume whose saved state cannot be read. */
function refuseUnreadable(
  planned: readonly PlannedQube[],
  { unreadable }: Pick<BackupSources, 'unreadable'>,
): void {
  for (const { qube, running } of planned) {
    const why = unreadable.get(qube.name);
    if (why === undefined) continue;
    const isRunning = running ? ' while it is running' : '';
    const help = running ? 'shut it down, or leave it' : 'leave it';
    throw new RefusedError(
      `${qube.name} cannot be backed up${isRunning}: ${why}; ${help} out with -x ${qube.name}`,
    );
  }
}
