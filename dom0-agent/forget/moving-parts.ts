import { ID_LENGTH } from '../archive/coffer1/chunk-ids.ts';
import { IDS_PATH } from '../archive/coffer1/member-paths.ts';
import type { MovingPart } from '../archive/coffer1/write-pack.ts';
import { ByteReader } from '../../shared/byte-reader.ts';
import type { PackParts } from './plan-pack-files.ts';
import type { PrunedFile } from './plan-prune.ts';

/** The parts of a pack with all that its writer wants to know of them. Throws DamagedError. */
export async function* movingParts(parts: PackParts): AsyncGenerator<MovingPart, void, undefined> {
  const ids = new Map<PrunedFile, ReadonlyMap<number, Buffer>>();
  for (const file of new Set(parts.map((part) => part.file))) {
    const rows = parts.filter((part) => part.file === file).map(({ row }) => row);
    ids.set(file, await idsOf(file, new Set(rows)));
  }
  for (const { file, row, bornIn, number } of parts) {
    const { size, chunks, domain } = file.offsets.table.at(row);
    yield {
      ...{ bornIn, number, size, chunks, domain },
      ...{ fileName: file.stored.untrustedName, offset: file.offsets.offset(row) },
      ids: ids.get(file)?.get(row) ?? Buffer.alloc(0),
    };
  }
}

/** The ids of the chunks of some rows. */
async function idsOf(
  { stored, offsets: { table } }: PrunedFile,
  rows: ReadonlySet<number>,
): Promise<Map<number, Buffer>> {
  await using bytes = new ByteReader(stored.file.contentOf(IDS_PATH), 'the ids of a backup');
  const ids = new Map<number, Buffer>();
  for (let row = 0; ids.size < rows.size; row++) {
    const length = table.at(row).chunks * ID_LENGTH;
    if (rows.has(row)) ids.set(row, Buffer.from(await bytes.exact(length)));
    else await bytes.skip(length);
  }
  return ids;
}
