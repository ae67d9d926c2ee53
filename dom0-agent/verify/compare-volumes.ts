import { FailedError } from '../../shared/errors.ts';
import type { Report } from '../../shared/report.ts';
import type { StoredVolume } from '../archive/coffer1/stored-volumes.ts';
import { chunkRuns } from '../archive/coffer1/volume-steps.ts';
import type { Qube, Volume } from '../qubes/qube.ts';
import type { QubesSystem } from '../qubes/system.ts';

/** A volume of a VM of this system. */
export interface LiveVolume {
  readonly qube: Qube;
  readonly volume: Volume;
}

export const COMPARED = ['same', 'changed', 'incomplete', 'unreadable', 'not here'] as const;

/** The result of comparing a volume with a backup. */
export interface ComparedVolume {
  /** The VM, as it is called in the backup. */
  readonly name: string;
  readonly volume: string;
  /** In the backup, in bytes. */
  readonly size: number;
  /** `incomplete`: the VM was already incomplete when it was backed up. `not here`: this system does not have it. */
  readonly result: (typeof COMPARED)[number];
  /** Why it is unreadable; otherwise empty. */
  readonly remark: string;
}

/** A volume of the backup, and the same volume of this system. */
export interface VolumeToCompare {
  readonly name: string;
  readonly stored: StoredVolume;
  readonly volume: string;
  /** Undefined: this system does not have it. */
  readonly live: LiveVolume | undefined;
}

/**
 * Reads a volume of this system, in its last saved state, and compares it with a backup. Needs memory for one chunk.
 */
export async function compareVolume(
  { name, volume, stored, live }: VolumeToCompare,
  system: QubesSystem,
  report: Report,
  signal: AbortSignal,
): Promise<ComparedVolume> {
  const row = { name, volume, size: stored.size, remark: '' };
  if (!stored.isWhole) return { ...row, result: 'incomplete' };
  if (live === undefined) return { ...row, result: 'not here' };
  report.working(name, volume);
  try {
    const isSame = await isAsStored(stored, live, system, report, name, signal);
    return { ...row, result: isSame ? 'same' : 'changed' };
  } catch (error) {
    if (!(error instanceof FailedError)) throw error;
    return { ...row, result: 'unreadable', remark: error.message };
  }
}

async function isAsStored(
  { size, grain, compare }: StoredVolume,
  { qube, volume }: LiveVolume,
  system: QubesSystem,
  report: Report,
  name: string,
  signal: AbortSignal,
): Promise<boolean> {
  await using held = await system.holdVolume(qube, volume, signal);
  await using image = await held.open(signal);
  if (image.size !== size) return false;
  const comparison = compare();
  const chunk = Buffer.alloc(grain);
  for (const { first, count } of chunkRuns(image.extents, grain)) {
    for (let number = first; number < first + count; number++) {
      signal.throwIfAborted();
      const offset = number * grain;
      const length = Math.min(grain, size - offset);
      await image.read(chunk.subarray(0, length), offset);
      comparison.add(number, chunk.fill(0, length));
      report.progress(name, length);
    }
  }
  await image.requireUnchanged();
  return comparison.isSame();
}
