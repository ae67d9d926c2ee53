import type { OpenedDirectory } from '../../../shared/byte-streams.ts';
import type { LocatedPart } from './located-parts.ts';
import type { StoredMember } from './member-reader.ts';
import { authenticateParts } from './open-parts.ts';
import { storedParts } from './planned-parts.ts';
import type { SeriesFile } from './series-file.ts';

/**
 * Authenticates everything that lies in a file of a series, byte for byte as the storage gives it, and uses none of it.
 * Reads no other file, and holds a few parts. Throws DamagedError.
 *
 * @param progress is told of the bytes of parts that were read
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
  const told = async function* (): AsyncGenerator<StoredMember, void, undefined> {
    for await (const member of storedParts(all, directory)) {
      progress(member.size);
      yield member;
    }
  };
  await authenticateParts(told(), file.opened.key);
  await authenticateParts(file.storedRest(), file.opened.key);
}
