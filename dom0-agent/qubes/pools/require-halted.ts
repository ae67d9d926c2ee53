import { FailedError } from '../../../shared/errors.ts';
import type { PlacedVolume } from './pool-driver.ts';

export type IsRunning = (qubeName: string) => Promise<boolean>;
type Named = Pick<PlacedVolume, 'label' | 'qubeName'>;

/**
 * For a volume that its VM writes into in place. Throws FailedError when the VM runs: a plan refuses a VM
 * that did so before, so it was started since.
 */
export async function requireHalted(
  { label, qubeName }: Named,
  isRunning: IsRunning,
): Promise<void> {
  if (!(await isRunning(qubeName))) return;
  throw new FailedError(
    `${label} cannot be read while ${qubeName} is running, as it has no saved state apart: ` +
      `shut ${qubeName} down first`,
  );
}

/** The same, once such a volume was read. */
export async function requireStillHalted(
  { label, qubeName }: Named,
  isRunning: IsRunning,
): Promise<void> {
  if (!(await isRunning(qubeName))) return;
  throw new FailedError(
    `${qubeName} was started while ${label} was read, so what was read is of no use: ` +
      `shut ${qubeName} down and begin again`,
  );
}
