import { DamagedPartError } from '../parts/damaged-part-error.ts';
import { type HeldPart, holdBytes } from '../parts/held-parts.ts';
import type { PartWalk, WalkedPart } from '../parts/part-walk.ts';
import { computeMac, isSameMac, parseMacText } from './mac.ts';

/** A part as it is stored, and what its `.hmac` member says. */
export interface MacedPart {
  readonly untrustedBytes: Buffer;
  readonly untrustedMacText: string;
}

/** A part whose MAC holds. */
export interface VerifiedPart {
  readonly name: string;
  readonly bytes: Buffer;
}

/** Takes the part that `walk` gave last into memory, with its MAC. */
export async function holdMaced(walk: PartWalk, { member }: WalkedPart): Promise<MacedPart> {
  const untrustedBytes = await holdBytes(member);
  return { untrustedBytes, untrustedMacText: await walk.untrustedMac() };
}

/** The same parts, each one given only when its MAC holds. Throws DamagedError. */
export async function* verifiedParts(
  parts: AsyncIterable<HeldPart<MacedPart>>,
  algorithm: string,
  passphrase: Buffer,
): AsyncGenerator<VerifiedPart, void, undefined> {
  for await (const { name, content } of parts) {
    if (!macHolds(algorithm, passphrase, content)) {
      throw new DamagedPartError(name, 'was damaged or tampered with: its MAC does not hold');
    }
    yield { name, bytes: content.untrustedBytes };
  }
}

/** Whether the MAC of a part, or of the header, holds. A MAC of no sound form does not. */
export function macHolds(
  algorithm: string,
  passphrase: Buffer,
  { untrustedBytes, untrustedMacText }: MacedPart,
): boolean {
  const untrustedMac = parseMacText(untrustedMacText);
  if (untrustedMac === undefined) return false;
  return isSameMac(computeMac(algorithm, passphrase, untrustedBytes), untrustedMac);
}
