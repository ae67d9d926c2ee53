import { PROTOCOL_VERSION } from '../protocol/limits.ts';
import { StorageFailure } from '../storage/storage-failure.ts';

/** Throws StorageFailure when dom0 uses another version of the protocol. */
export function requireVersion(version: number): void {
  if (version === PROTOCOL_VERSION) return;
  throw new StorageFailure(
    'VERSION',
    `dom0 asks for version ${version}, this agent has ${PROTOCOL_VERSION}`,
  );
}
