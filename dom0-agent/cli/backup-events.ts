import { printable } from '../../shared/printable.ts';
import type { ChangedQubes } from '../backup/changed-qubes.ts';
import type { BackupCost, MeasuredBackup } from '../backup/backup-cost.ts';
import type { Estimate } from '../backup/backup-space.ts';
import { type PlannedQube, expectedBytes } from '../backup/plan-backup.ts';
import type { MeasuredPlan } from '../backup/plan-home.ts';
import type { BackedUp } from '../backup/backup-files.ts';
import { leftByBackups } from '../backup/left-by-backups.ts';
import type { SeriesState } from '../backup/series-state.ts';
import { originOf } from '../backup/volume-identity.ts';
import type { Destination } from './destination.ts';
import type { Share } from './progress.ts';

/** What a backup will read, for its progress. */
export function sharesOf({ qubes, dom0Home, dom0Paths }: MeasuredPlan): Share[] {
  const shares = qubes.map((planned) => ({ name: planned.qube.name, total: bytesOf(planned) }));
  const ofDom0 = [dom0Home, dom0Paths].flatMap((tree) => tree?.size.expected ?? []);
  if (ofDom0.length > 0) shares.push({ name: 'dom0', total: ofDom0.reduce((a, b) => a + b) });
  return shares;
}

/** The backups that are already in the place of a new one. */
interface EarlierBackups {
  /** The series that the backup will continue. */
  readonly known: SeriesState | undefined;
  /** When the backups were made that dom0 does not know. */
  readonly unknown: readonly Date[];
  /** What has changed since the last backup of the series. */
  readonly changes: ChangedQubes;
  readonly cost: BackupCost;
}

/** The plan of a backup, for programs: docs/json.md. */
export function backupPlanForPrograms(
  { qubes, dom0Home, dom0Paths, leftOut }: MeasuredPlan,
  estimate: Estimate,
  vm: string,
  { location, space, toBeStarted }: Destination,
  { known, unknown, changes, cost }: EarlierBackups,
) {
  return {
    vm,
    location,
    freeBytes: space.freeBytes,
    startsVm: toBeStarted !== undefined,
    leastBytes: estimate.least,
    mostBytes: estimate.most,
    mostRead: cost.mostRead,
    mostSeconds: cost.mostSeconds ?? null,
    lastEffort: cost.last === undefined ? null : effortForPrograms(cost.last),
    qubes: qubes.map((planned) => ({
      name: planned.qube.name,
      class: planned.qube.qubeClass,
      label: planned.qube.label,
      running: planned.running,
      volumes: planned.volumes.map(({ name }) => name),
      size: planned.volumes.reduce((sum, { size }) => sum + size, 0),
      used: bytesOf(planned),
      sinceLast: changes.get(planned.qube.name) ?? null,
      changed: changedBytes(planned, known, changes),
    })),
    dom0Home: dom0Home === undefined ? null : { path: dom0Home.path, used: dom0Home.size.expected },
    dom0Paths: dom0Paths && { paths: dom0Paths.paths, used: dom0Paths.size.expected },
    leftOut,
    series: known === undefined ? null : earlierIn(known),
    unknown: unknownForPrograms(unknown),
  };
}

function effortForPrograms({ made, effort }: MeasuredBackup) {
  return { created: new Date(1000 * made).toISOString(), ...effort };
}

/** How many bytes of a VM have changed; null if only reading can tell. */
function changedBytes(
  planned: PlannedQube,
  known: SeriesState | undefined,
  changes: ChangedQubes,
): number | null {
  const { qube, volumes } = planned;
  if (changes.get(qube.name) === 'unchanged') return 0;
  const isThere = volumes.some((volume) => known?.maps.has(originOf(qube, volume)));
  return known === undefined || isThere ? null : bytesOf(planned);
}

function unknownForPrograms(times: readonly Date[]) {
  if (times.length === 0) return null;
  const last = new Date(Math.max(...times.map((time) => time.getTime())));
  return { backups: times.length, last: last.toISOString() };
}

function earlierIn({ files }: SeriesState) {
  const backups = files.filter(({ kind }) => kind === 'backup');
  const newest = files.at(-1);
  if (newest === undefined) return null;
  const last = new Date(1000 * newest.made).toISOString();
  const sentBytes = leftByBackups(files).reduce((sum, { bytes }) => sum + bytes, 0);
  return { file: printable(newest.fileName), backups: backups.length, last, sentBytes };
}

/** The result for each VM in a backup, for programs. */
export function backedUpForPrograms(backedUp: readonly BackedUp[]) {
  return backedUp.map(({ name, size, used, running, failure }) => ({
    ...{ name, result: failure === undefined ? 'stored' : 'failed' },
    ...{ size, used, running, failure },
  }));
}

function bytesOf({ volumes }: PlannedQube): number {
  return volumes.reduce((sum, volume) => sum + expectedBytes(volume), 0);
}
