import { DamagedError, FailedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import type { Header } from '../archive.ts';
import { compressionFilterOf, isTrue } from '../official/header-fields.ts';
import { canAuthenticate } from './mac.ts';
import { canDecipher } from './openssl-enc.ts';

/** The header of an archive of format 3 or 2. */
export interface Qubes3Header extends Header {
  readonly format: 'qubes-3' | 'qubes-2';
  readonly backupId: undefined;
  /** Both by OpenSSL's names, in lower case. There is a cipher if the archive is encrypted. */
  readonly macAlgorithm: string;
  readonly cipher: string | undefined;
}

/**
 * Parses the fields of an authenticated header. Throws DamagedError or FailedError.
 *
 * @param forcedFilter see `compressionFilterOf`
 */
export function parseQubes3Header(
  fields: ReadonlyMap<string, string>,
  forcedFilter?: string,
): Qubes3Header {
  const encrypted = isTrue(fields, 'encrypted');
  return {
    format: fields.get('version') === '2' ? 'qubes-2' : 'qubes-3',
    backupId: undefined,
    encrypted,
    compressionFilter: compressionFilterOf(fields, forcedFilter),
    macAlgorithm: usable(fields, 'hmac-algorithm', canAuthenticate),
    cipher: encrypted ? usable(fields, 'crypto-algorithm', canDecipher) : undefined,
  };
}

function usable(
  fields: ReadonlyMap<string, string>,
  key: string,
  canUse: (algorithm: string) => boolean,
): string {
  const algorithm = fields.get(key)?.toLowerCase();
  if (algorithm === undefined)
    throw new DamagedError(`the header of the backup does not say its ${key}`);
  if (canUse(algorithm)) return algorithm;
  throw new FailedError(
    `the backup was made with the ${key} ${printable(algorithm, 40)}, which this machine's Node.js does not offer`,
  );
}
