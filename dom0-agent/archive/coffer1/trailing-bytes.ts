import { DamagedError } from '../../../shared/errors.ts';
import type { BehindEnd } from '../tar/outer-reader.ts';

/**
 * Refuses an archive behind whose end something stands that is not zeros, and says how to get at it: no byte of
 * a backup is changed without notice. Throws DamagedError.
 */
export function refuseFollowed({ end, bytes, orMore }: BehindEnd): void {
  if (bytes === 0) return;
  const count = `${bytes} ${bytes === 1 ? 'byte' : 'bytes'}${orMore ? ' or more' : ''}`;
  throw new DamagedError(
    `the backup is whole and followed by ${count} that do not belong to it: ` +
      `its first ${end} bytes are the backup, \`head -c ${end}\` copies them`,
  );
}
