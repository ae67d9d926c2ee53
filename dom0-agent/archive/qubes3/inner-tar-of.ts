import { Readable } from 'node:stream';
import { decompress } from '../compress/compression.ts';
import type { HeldPart } from '../parts/held-parts.ts';
import { joinVolumes } from '../tar/multi-volume.ts';
import type { Qubes3Header } from './qubes3-header.ts';
import { type MacedPart, type VerifiedPart, verifiedParts } from './maced-parts.ts';
import { decipher } from './openssl-enc.ts';
import { unzip } from './unzip.ts';

/** The inner tar of the file `path`, from its parts: MACs checked, decrypted, decompressed. */
export function innerTarOf(
  parts: AsyncIterable<HeldPart<MacedPart>>,
  path: string,
  header: Qubes3Header,
  passphrase: Buffer,
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  const verified = verifiedParts(parts, header.macAlgorithm, passphrase);
  return header.format === 'qubes-3'
    ? oneStream(verified, path, header, passphrase, signal)
    : joinVolumes(volumesOf(verified, header, passphrase, signal), path);
}

/** Format 3: one cipher stream over one compressor's stream, cut into parts. */
function oneStream(
  parts: AsyncIterable<VerifiedPart>,
  path: string,
  { cipher, compressionFilter }: Qubes3Header,
  passphrase: Buffer,
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  const stored = bytesOf(parts);
  const plaintext = cipher === undefined ? stored : decipher(cipher, passphrase, stored, path);
  return compressionFilter === undefined
    ? plaintext
    : decompress(compressionFilter, plaintext, signal);
}

/** Format 2: each part is a volume of a tar, compressed and encrypted on its own. */
async function* volumesOf(
  parts: AsyncIterable<VerifiedPart>,
  { cipher, compressionFilter }: Qubes3Header,
  passphrase: Buffer,
  signal: AbortSignal,
): AsyncGenerator<AsyncIterable<Buffer>, void, undefined> {
  for await (const { name, bytes } of parts) {
    const stored: AsyncIterable<Buffer> = Readable.from([bytes]);
    const plaintext = cipher === undefined ? stored : decipher(cipher, passphrase, stored, name);
    if (compressionFilter === undefined) yield plaintext;
    else if (compressionFilter === 'gzip') yield unzip(plaintext, name);
    else yield decompress(compressionFilter, plaintext, signal);
  }
}

async function* bytesOf(
  parts: AsyncIterable<VerifiedPart>,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const { bytes } of parts) yield bytes;
}
