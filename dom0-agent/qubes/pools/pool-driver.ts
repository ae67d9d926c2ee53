import { FailedError } from '../../../shared/errors.ts';

/** A volume of a VM, as its pool knows it. */
export interface PlacedVolume {
  /** For messages: `the volume private of work`. */
  readonly label: string;
  readonly qubeName: string;
  /** The volume's id in its pool. */
  readonly vid: string;
  /** As `hasNoSavedState` of qube.ts has it: while its VM runs, there is nothing to be held. */
  readonly hasNoSavedState: boolean;
}

/** A volume whose committed content stays as it is until this is disposed of. */
export interface OpenedVolume extends AsyncDisposable {
  /** A file or a block device, which only root may be able to read. */
  readonly path: string;
  /** Throws FailedError when the pool could not keep the content from changing since. */
  requireUnchanged(): Promise<void>;
}

/** How one kind of storage pool is read. */
export interface VolumeDriver {
  /** Whether what was last saved of a volume stays as it is while its VM runs. */
  readonly keepsSavedState: boolean;
  /** Holds a volume's last committed content still. Throws FailedError. */
  open(volume: PlacedVolume): Promise<OpenedVolume>;
  /** Removes what a coffer that was killed has left in the pool. */
  removeStale(): Promise<void>;
}

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
