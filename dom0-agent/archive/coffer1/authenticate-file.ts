import type { OpenedDirectory } from '../../../shared/byte-streams.ts';
import type { LocatedPart } from './located-parts.ts';
import type { StoredMember } from './member-reader.ts';
import { authenticateParts } from './open-parts.ts';
import { storedParts } from './planned-parts.ts';
import type { SeriesFile } from './series-file.ts';

/**
 * Authenticates everything in a file of a series, as the storage delivers it, and discards it. Reads no other file, and
 * holds only a few parts in memory. Throws DamagedError.
 *
 * @param progress called with the number of bytes of each part that was read
 */
export async function authenticateFile(
  file: SeriesFile,
  directory: Pick<OpenedDirectory, 'read'>,
  progress: (bytes: number) => void,
): Promise<void> {
  const parts = await file.parts();
  const all = function* (): Generator<LocatedPart, void, undefined> {
    for (let row = 0; row < parts.table.length; row++) yield { file, parts, row };
  };
  const reported = async function* (): AsyncGenerator<StoredMember, void, undefined> {
    for await (const member of storedParts(all, directory)) {
      progress(member.size);
      yield member;
    }
  };
  await authenticateParts(reported(), file.opened.key);
  await authenticateParts(file.storedRest(), file.opened.key);
}
