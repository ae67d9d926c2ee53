import type { Command } from './measure.ts';

/** Any key: the speed does not depend on it. */
const KEY = '00112233445566778899aabbccddeeff'.repeat(2);
const ENC = `openssl enc -aes-256-ctr -K ${KEY} -iv ${KEY.slice(0, 32)}`;

/** One key derivation with scrypt, at the default cost of `coffer backup`. */
const KDF =
  `openssl kdf -keylen 64 -kdfopt pass:benchmark -kdfopt hexsalt:${KEY} -kdfopt n:262144 ` +
  '-kdfopt r:8 -kdfopt p:1 -kdfopt maxmem_bytes:1000000000 -binary SCRYPT > /dev/null';

/** Used instead of KDF where the key derivation is not to be measured. */
export const NO_KDF = 'true';

/** One key derivation. */
export const kdf: Command = bash(KDF);

/** The lower limit for a backup: a key derivation, then tar, zstd and openssl at the same time, then a sync. */
export function limitBackup(image: string, to: string, key = KDF): Command {
  return bash(`${key}; tar --sparse -cO ${image} | zstd -3 -T0 -q | ${ENC} > ${to}; sync ${to}`);
}

/** The lower limit for a restore: the same steps in reverse, into the directory `to`. */
export function limitRestore(from: string, to: string, key = KDF): Command {
  return bash(
    `${key}; mkdir ${to}; ${ENC} -d < ${from} | zstd -d -q | tar --sparse -x -C ${to} ` +
      `--transform 's,.*,image,'; sync ${to}/image`,
  );
}

/** The reference for a backup without compression: encryption and MAC at the same time. */
export function uncompressedBackup(image: string, to: string): Command {
  const mac = `openssl dgst -sha512 -mac HMAC -macopt hexkey:${KEY} > ${to}.hmac`;
  return bash(`${KDF}; tar --sparse -cO ${image} | ${ENC} | tee >(${mac}) > ${to}; sync ${to}`);
}

/** The reference for a backup in Qubes' own format: gzip, which uses one core. */
export function gzipBackup(image: string, to: string): Command {
  return bash(`tar --sparse -cO ${image} | gzip | ${ENC} > ${to}; sync ${to}`);
}

/** The reference for reading and comparing everything: the MAC of `image`, `count` times, on all cores. */
export function macOnAllCores(image: string, count: number): Command {
  const mac = `openssl dgst -sha256 -mac HMAC -macopt hexkey:${KEY} ${image}`;
  return bash(`${KDF}; seq ${count} | xargs -P "$(nproc)" -I{} ${mac} > /dev/null`);
}

function bash(script: string): Command {
  return { argv: ['bash', '-c', `set -euo pipefail; ${script}`] };
}
