import { randomBytes } from 'node:crypto';
import type { ByteSink } from '../../../shared/byte-streams.ts';
import { FailedError } from '../../../shared/errors.ts';
import type { FileToArchive } from '../archive.ts';
import { beginAhead } from '../compress/compress-ahead.ts';
import { type CompressionFilter, compress } from '../compress/compression.ts';
import { HEADER_NAME } from '../header-text.ts';
import { OuterTarWriter } from '../tar/outer-writer.ts';
import { PartBuffers } from '../parts/part-buffers.ts';
import { type Part, cutIntoParts, partName } from '../parts/part-names.ts';
import { prefetch } from '../parts/prefetch.ts';
import { type Coffer1Header, SALT_LENGTH, formatHeader } from './coffer1-header.ts';
import { deriveRootKey } from './keys.ts';
import { LARGEST_MANIFEST, MANIFEST_PATH, type ManifestMember, manifestTar } from './manifest.ts';
import type { ScryptCost } from './scrypt-cost.ts';
import { type Seal, type SealedMember, sealMember } from './seal-member.ts';

export interface Coffer1Options {
  /** Wiped once the key is derived. */
  readonly passphrase: Buffer;
  readonly encrypted: boolean;
  readonly compressionFilter: CompressionFilter | undefined;
  readonly kdf: ScryptCost;
  /** Bytes; `DEFAULT_PART_SIZE` but in tests. */
  readonly partSize: number;
}

/** How many parts are in memory: one is filled, one sealed, one written, at the same time. */
const PARTS_AT_ONCE = 3;

/** A part with its member's name, on its way to be sealed. */
type NamedPart = Part & { readonly name: string };
/** A sealed member on its way out, and the memory that it leaves when it is gone. */
type SealedPart = SealedMember & { readonly name: string; readonly buffer?: Buffer };

/**
 * Writes a coffer-1 archive of `files`, in one pass: docs/archive-format.md. Reading, compressing,
 * sealing and writing go on at the same time, and with the derivation of the key.
 */
export async function writeCoffer1(
  files: AsyncIterable<FileToArchive>,
  output: ByteSink,
  options: Coffer1Options,
  signal: AbortSignal,
): Promise<void> {
  const header = newHeader(options);
  const sealing = deriveRootKey(options.passphrase, header.kdfSalt, header.kdf).then(
    (root): Seal => ({ root, backupId: header.backupId, encrypted: header.encrypted }),
  );
  const tar = new OuterTarWriter(output);
  const members: ManifestMember[] = [];
  const store = async ({ name, stored, mac }: SealedPart): Promise<void> => {
    await tar.member(name, stored);
    await tar.member(`${name}.hmac`, Buffer.from(`${mac}\n`));
    members.push({ name, size: stored.length, mac });
  };

  const buffers = new PartBuffers(options.partSize, PARTS_AT_ONCE);
  // As many parts are filled ahead as there are buffers, while the key is being derived above all.
  const parts = prefetch(partsOf(files, buffers, options, signal), PARTS_AT_ONCE);
  for await (const { buffer, ...part } of prefetch(sealed(parts, header, sealing))) {
    try {
      await store(part);
    } catch (error) {
      buffers.close();
      throw error;
    }
    if (buffer !== undefined) buffers.give(buffer);
  }
  await store(await sealedManifest(await sealing, members, options, signal));
  await tar.end();
}

function newHeader(options: Coffer1Options): Coffer1Header {
  return {
    format: 'coffer-1',
    backupId: randomBytes(16).toString('hex'),
    encrypted: options.encrypted,
    compressionFilter: options.compressionFilter,
    kdf: options.kdf,
    kdfSalt: randomBytes(SALT_LENGTH),
    partSize: options.partSize,
  };
}

async function* partsOf(
  files: AsyncIterable<FileToArchive>,
  buffers: PartBuffers,
  options: Coffer1Options,
  signal: AbortSignal,
): AsyncGenerator<NamedPart, void, undefined> {
  const open = (innerTar: AsyncIterable<Buffer>) => compressed(innerTar, options, signal);
  for await (const { path, content } of beginAhead(files, open)) {
    let index = 0;
    for await (const part of cutIntoParts(content, buffers)) {
      signal.throwIfAborted();
      yield { ...part, name: partName(path, index++) };
    }
  }
}

function compressed(
  innerTar: AsyncIterable<Buffer>,
  { compressionFilter }: Coffer1Options,
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  return compressionFilter === undefined ? innerTar : compress(compressionFilter, innerTar, signal);
}

/** The header, then every part. */
async function* sealed(
  parts: AsyncIterable<NamedPart>,
  header: Coffer1Header,
  sealing: Promise<Seal>,
): AsyncGenerator<SealedPart, void, undefined> {
  let isFirst = true;
  for await (const { name, bytes, buffer } of parts) {
    const seal = await sealing;
    if (isFirst) yield await sealedHeader(seal, header);
    isFirst = false;
    yield { name, buffer, ...(await sealMember(seal, name, bytes)) };
  }
}

/** The header is authenticated like every member, and not encrypted. */
async function sealedHeader(seal: Seal, header: Coffer1Header): Promise<SealedPart> {
  const asItIs = { ...seal, encrypted: false };
  return {
    name: HEADER_NAME,
    ...(await sealMember(asItIs, HEADER_NAME, formatHeader(header))),
  };
}

/** The manifest is one part, whatever its size. */
async function sealedManifest(
  seal: Seal,
  members: readonly ManifestMember[],
  options: Coffer1Options,
  signal: AbortSignal,
): Promise<SealedPart> {
  const chunks: Buffer[] = [];
  for await (const chunk of compressed(manifestTar(members), options, signal)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  if (bytes.length > LARGEST_MANIFEST) {
    throw new FailedError('the backup has too many parts for its manifest: back up in two halves');
  }
  const name = partName(MANIFEST_PATH, 0);
  return { name, ...(await sealMember(seal, name, bytes)) };
}
