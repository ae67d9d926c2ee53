import type { OpenedFile } from '../../../shared/byte-streams.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { headOf, readHeader } from '../read-header.ts';
import { OuterTarReader } from '../tar/outer-reader.ts';
import { HEADER_NAME, type UntrustedHeader } from '../untrusted-header.ts';
import type { Coffer1Header } from './coffer1-header.ts';
import { parseUntrustedHeader } from './open-header.ts';

/** The beginning of a file that may be a backup: its header, which has not been authenticated. */
export interface Beginning extends Omit<UntrustedHeader, 'tar'> {
  /** The header, or why it is not exactly as coffer writes it. */
  readonly untrustedHeader: Coffer1Header | DamagedError;
}

/** Undefined for a file that does not begin with a header. Throws DamagedError if the header cannot be read. */
export async function beginningOf(input: OpenedFile): Promise<Beginning | undefined> {
  await using tar = new OuterTarReader(headOf(input));
  const first = await tar.next();
  if (first?.name !== HEADER_NAME) return undefined;
  const { untrustedBytes, untrustedFields, untrustedMac } = await readHeader(tar, first);
  const read = { tar, untrustedBytes, untrustedFields, untrustedMac };
  return { untrustedBytes, untrustedFields, untrustedMac, untrustedHeader: await parsed(read) };
}

async function parsed(read: UntrustedHeader): Promise<Coffer1Header | DamagedError> {
  try {
    const header = parseUntrustedHeader(read);
    // Reading the next member checks the padding after the header's MAC.
    await read.tar.next();
    return header;
  } catch (error) {
    if (error instanceof DamagedError) return error;
    throw error;
  }
}
