import { join } from 'node:path';
import { type Qube, savedVolumes } from '../qubes/qube.ts';
import type { QubesSystem } from '../qubes/system.ts';
import { isWholeReadingDue } from '../qubes/changes/was-written.ts';
import type { SeriesState } from './series-state.ts';
import { keyOf, originOf } from './volume-identity.ts';

/** Whether what is backed up of a VM has changed since the last backup of a series. Undefined: unknown. */
export type SinceLast = 'changed' | 'unchanged' | undefined;

/** By the names of VMs. */
export type ChangedQubes = ReadonlyMap<string, SinceLast>;

/** The directory of the notes on what the volumes were like at the last backup of a series. */
export function notesOfChanges(seriesDirectory: string, seriesId: string): string {
  return join(seriesDirectory, seriesId, 'changes');
}

/**
 * Whether the volumes of each VM, as they were last saved, have changed since the last backup of the series, as far as
 * that can be known without reading them.
 */
export async function changedQubes(
  system: QubesSystem,
  { head: { seriesId }, maps }: Pick<SeriesState, 'head' | 'maps'>,
  seriesDirectory: string,
  qubes: readonly Qube[],
): Promise<ChangedQubes> {
  const directory = notesOfChanges(seriesDirectory, seriesId);
  const wasWritten = system.wasWrittenSince({ directory, series: seriesId });
  const sinceLast = async (qube: Qube): Promise<SinceLast> => {
    const written = await Promise.all(
      savedVolumes(qube).map(async (volume) => {
        const origin = originOf(qube, volume);
        const since = maps.get(origin);
        // A volume that the series does not have will be new in the next backup.
        return since === undefined ? true : wasWritten({ qube, volume, key: keyOf(origin), since });
      }),
    );
    if (written.includes(true)) return 'changed';
    return written.length === 0 || written.includes(undefined) ? undefined : 'unchanged';
  };
  return new Map(
    await Promise.all(qubes.map(async (qube) => [qube.name, await sinceLast(qube)] as const)),
  );
}

/** The names of the VMs of which the next backup of the series compares a volume as a whole, changed or not. */
export async function dueQubes(
  { head: { seriesId } }: Pick<SeriesState, 'head'>,
  seriesDirectory: string,
  qubes: readonly Qube[],
): Promise<ReadonlySet<string>> {
  const directory = notesOfChanges(seriesDirectory, seriesId);
  const due = new Set<string>();
  for (const qube of qubes) {
    for (const volume of savedVolumes(qube)) {
      const key = keyOf(originOf(qube, volume));
      if (await isWholeReadingDue(directory, key)) due.add(qube.name);
    }
  }
  return due;
}

/** Like `changedQubes`, but for each VM since its newest backup in any of these series. */
export async function changedSinceNewest(
  system: QubesSystem,
  states: readonly SeriesState[],
  seriesDirectory: string,
  qubes: readonly Qube[],
): Promise<ChangedQubes> {
  const found = await Promise.all(
    states.map((state) => {
      const own = qubes.filter((qube) => newestOf(qube, states) === state);
      return changedQubes(system, state, seriesDirectory, own);
    }),
  );
  return new Map(found.flatMap((each) => [...each]));
}

/** The series with the newest backup of a VM. */
function newestOf(qube: Qube, states: readonly SeriesState[]): SeriesState | undefined {
  let newest: { readonly state: SeriesState; readonly made: number } | undefined;
  for (const state of states) {
    const ids = savedVolumes(qube).map((volume) => state.maps.get(originOf(qube, volume)));
    const files = state.files.filter(({ backupId }) => ids.includes(backupId));
    const made = Math.max(...files.map((file) => file.made));
    if (made > (newest?.made ?? 0)) newest = { state, made };
  }
  return newest?.state;
}
