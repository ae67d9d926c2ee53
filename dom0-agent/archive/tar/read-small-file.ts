import { DamagedError } from '../../../shared/errors.ts';
import { formatSize } from '../../../shared/sizes.ts';
import { untar } from './inner-reader.ts';

/**
 * The content of a small file, from the inner tar that holds only this file. Throws DamagedError when it is larger than
 * `limit` bytes, or the tar holds something else.
 */
export async function readSmallFile(
  innerTar: AsyncIterable<Buffer>,
  path: string,
  limit: number,
): Promise<Buffer> {
  let content: Buffer | undefined;
  for await (const member of untar(innerTar)) {
    if (content !== undefined || member.path !== path || member.type !== 'file') {
      throw new DamagedError(`${path} in the backup contains something other than its name says`);
    }
    if (member.realSize > limit) {
      throw new DamagedError(
        `${path} in the backup is larger than the ${formatSize(limit)} that it may have`,
      );
    }
    content = Buffer.alloc(member.realSize);
    for await (const { offset, bytes } of member.pieces()) bytes.copy(content, offset);
  }
  if (content === undefined) throw new DamagedError(`${path} in the backup is empty`);
  return content;
}
