import { expectedBytes } from './plan-backup.ts';
import type { MeasuredPlan } from './plan-home.ts';
import type { Effort, SeriesFile, SeriesState } from './series-state.ts';

/** The duration of a backup that read less than this fraction of what is to be read now says little about this one. */
const COMPARABLE = 1 / 10;

/** How much work a backup will be, as far as that is known before anything is read. */
export interface BackupCost {
  /** Bytes to read, at most: all but what is known to be unchanged, and not due to be compared. */
  readonly mostRead: number;
  /** Seconds to read, store and check as much, at the speed of an earlier backup; undefined if none read enough. */
  readonly mostSeconds: number | undefined;
  /** The newest backup of the series whose effort is known. */
  readonly last: MeasuredBackup | undefined;
}

/** A backup of a series, and how much work it was. */
export interface MeasuredBackup {
  /** When it was begun, in seconds since 1970. */
  readonly made: number;
  readonly effort: Effort;
}

/**
 * Estimates how much work a backup will be.
 *
 * @param known the series that the backup continues
 * @param isNotRead whether a VM is known to be unchanged, and not due to be compared nevertheless
 */
export function costOf(
  { qubes, dom0Home, dom0Paths }: MeasuredPlan,
  known: SeriesState | undefined,
  isNotRead: (qubeName: string) => boolean,
): BackupCost {
  const volumes = qubes
    .filter(({ qube }) => !isNotRead(qube.name))
    .flatMap((planned) => planned.volumes);
  const ofDom0 = (dom0Home?.size.expected ?? 0) + (dom0Paths?.size.expected ?? 0);
  const mostRead = volumes.reduce((sum, volume) => sum + expectedBytes(volume), ofDom0);
  const measured = (known?.files ?? []).flatMap(measuredIn);
  return { mostRead, mostSeconds: secondsFor(mostRead, measured), last: measured.at(-1) };
}

function measuredIn({ made, effort }: SeriesFile): MeasuredBackup[] {
  return effort === undefined ? [] : [{ made, effort }];
}

/** At the speed of the backup that read most, in which fixed costs weigh least. */
function secondsFor(bytes: number, measured: readonly MeasuredBackup[]): number | undefined {
  const [largest] = measured
    .map(({ effort }) => effort)
    .toSorted((one, other) => other.read - one.read);
  if (largest === undefined || largest.read === 0) return undefined;
  if (largest.read < bytes * COMPARABLE) return undefined;
  return (bytes * largest.seconds) / largest.read;
}
