import { CofferError } from '../../../shared/errors.ts';
import { memoize } from '../../../shared/memoize.ts';
import { placedVolume } from '../pools/pool-driver.ts';
import { distrustNote, Notes, volumeNote } from './notes.ts';
import type { PoolDetector } from './pool-detector.ts';
import type { TrackedSystem } from './track-changes.ts';
import type { TrackedVolume } from './volume-changes.ts';
import { isDue, parseWholeReading } from './whole-reading.ts';

/**
 * Whether a volume was written to since an earlier backup, before the next one: by its identity alone, so that nothing
 * is read, captured or changed. Undefined if that is not known.
 */
export type WasWritten = (tracked: TrackedVolume) => Promise<boolean | undefined>;

/**
 * Whether the next backup compares a volume as a whole, though it may not have changed.
 *
 * @param directory see `TrackingOptions`; it need not exist
 * @param key see `TrackedVolume`
 */
export async function isWholeReadingDue(
  directory: string,
  key: string,
  now = new Date(),
): Promise<boolean> {
  const noted = await Notes.in(directory).read(volumeNote(key));
  const whole = noted && parseWholeReading(noted);
  return whole !== undefined && isDue(whole, Math.floor(now.getTime() / 1000));
}

/** @param directory see `TrackingOptions`; it need not exist */
export function wasWrittenSince(
  { detectorOf }: Pick<TrackedSystem, 'detectorOf'>,
  directory: string,
): WasWritten {
  const notes = Notes.in(directory);
  const pools = new Map<string, () => Promise<PoolDetector>>();
  const detectorFor = (pool: string): Promise<PoolDetector> => {
    const known = pools.get(pool) ?? memoize(() => detectorOf(pool, notes));
    pools.set(pool, known);
    return known();
  };

  return async ({ qube, volume, key, since }) => {
    const noted = await notes.read(volumeNote(key));
    const before = noted?.['identity'];
    if (since === undefined || noted?.['backup'] !== since || before === undefined) {
      return undefined;
    }
    if ((await notes.read(distrustNote(volume.pool))) !== undefined) return undefined;
    try {
      const detector = await detectorFor(volume.pool);
      const now = await detector.identityOf(placedVolume(qube, volume));
      return now === undefined ? undefined : now !== before;
    } catch (error) {
      // If it cannot be examined now, the backup will report that.
      if (error instanceof CofferError) return undefined;
      throw error;
    }
  };
}
