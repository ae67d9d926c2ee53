import { setMaxListeners } from 'node:events';
import { MiB } from '../../../shared/sizes.ts';
import { DamagedPartError } from '../parts/damaged-part-error.ts';
import { type HeldPart, heldParts, holdBytes } from '../parts/held-parts.ts';
import type { PartWalk, WalkedPart } from '../parts/part-walk.ts';
import { prefetch } from '../parts/prefetch.ts';
import {
  SCRYPT_HEADER,
  type ScryptKeys,
  openScryptFile,
  parseScryptHeader,
  scryptHeaderHolds,
} from './scrypt-file.ts';
import type { Derivations } from './derivations.ts';
import { PartMemory } from './part-memory.ts';

/** For the parts in memory: two of 100 MiB. Of the next one, the beginning is read, for its keys. */
const MEMORY_FOR_PARTS = 256 * MiB;
/** Parts whose keys may be derived at the same time, if they are small. */
const MOST_PARTS_AHEAD = 32;

/** What opens the parts of one archive. */
export interface Qubes4Secrets {
  readonly passphrase: Buffer;
  readonly backupId: string;
  readonly derivations: Derivations;
  readonly signal: AbortSignal;
}

/** A part as it is stored, and its keys on their way. */
export interface SealedPart {
  readonly untrustedBytes: Buffer;
  /** Rejects with DamagedError when the part was not sealed under this passphrase, backup and name. */
  readonly keys: Promise<ScryptKeys>;
  /** Gives the part's memory back to those that come. To be called once. */
  release(inUse: boolean): void;
}

/**
 * The parts of the files that `wanted` chooses, read ahead as far as memory allows, so that their keys
 * are derived at the same time and before they are needed: each takes seconds.
 */
export async function* sealedPartsAhead(
  walk: PartWalk,
  wanted: (path: string) => boolean,
  secrets: Qubes4Secrets,
): AsyncGenerator<HeldPart<SealedPart>, void, undefined> {
  const stop = new AbortController();
  const signal = AbortSignal.any([secrets.signal, stop.signal]);
  // Every part that waits for its turn listens: no leak that Node should warn of.
  setMaxListeners(0, signal);
  const memory = new PartMemory(MEMORY_FOR_PARTS);
  const hold = (part: WalkedPart): Promise<SealedPart> =>
    holdSealed(part, { ...secrets, signal }, memory);
  for await (const part of prefetch(heldParts(walk, wanted, hold), MOST_PARTS_AHEAD)) {
    let taken = false;
    try {
      yield part;
      taken = true;
    } finally {
      // Before the reading ahead is ended: it may be waiting for memory that nobody gives back.
      if (!taken) stop.abort();
    }
  }
}

/** Takes a part into memory. Its keys are under way as soon as its first bytes have come. */
export async function holdSealed(
  part: WalkedPart,
  secrets: Qubes4Secrets,
  memory: PartMemory,
): Promise<SealedPart> {
  const { member, name } = part;
  let keys: Promise<ScryptKeys> | undefined;
  const untrustedBytes = await holdBytes(member, SCRYPT_HEADER, (untrustedHeader) => {
    keys = partKeys(untrustedHeader, name, secrets);
    // Its error is told when the part is opened; until then it is not unhandled.
    void Promise.allSettled([keys]);
    return memory.take(member.size, secrets.signal);
  });
  if (keys === undefined) throw new DamagedPartError(name, 'is cut short');
  return { untrustedBytes, keys, release: (inUse) => memory.give(untrustedBytes, inUse) };
}

/** The plaintext of parts, each one's MAC checked before anything of it is given. */
export async function* openedParts(
  parts: AsyncIterable<HeldPart<SealedPart>>,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const { name, content } of parts) {
    yield* openScryptFile(content.untrustedBytes, await content.keys, name);
  }
}

/** What a part's keys come from holds the backup's id and the part's name, so that it fits nowhere else. */
async function partKeys(
  untrustedHeader: Buffer,
  name: string,
  { passphrase, backupId, derivations, signal }: Qubes4Secrets,
): Promise<ScryptKeys> {
  const parameters = parseScryptHeader(untrustedHeader, name);
  const keys = await derivations.derive(`${backupId}!${name}`, passphrase, parameters, signal);
  if (scryptHeaderHolds(untrustedHeader, keys)) return keys;
  throw new DamagedPartError(
    name,
    'was damaged or tampered with, or belongs to another place or backup',
  );
}
