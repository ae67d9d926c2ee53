import { FailedError } from '../../../shared/errors.ts';
import { hasNoSavedState, type Qube, type Volume, volumeLabel } from '../qube.ts';

/** A volume of a VM, as its pool knows it. */
export interface PlacedVolume {
  /** For messages: `the volume private of work`. */
  readonly label: string;
  readonly qubeName: string;
  /** The volume's id in its pool. */
  readonly vid: string;
  /** See `hasNoSavedState` in qube.ts: it cannot be read while its VM runs. */
  readonly hasNoSavedState: boolean;
}

/** Describes a volume for its pool. */
export function placedVolume(qube: Qube, volume: Volume): PlacedVolume {
  return {
    label: volumeLabel(qube.name, volume.name),
    qubeName: qube.name,
    vid: volume.vid,
    hasNoSavedState: hasNoSavedState(volume),
  };
}

/** A volume whose committed content does not change until this is disposed of. */
export interface OpenedVolume extends AsyncDisposable {
  /** A file or a block device, which only root may be able to read. */
  readonly path: string;
  /** Throws FailedError when the pool could not keep the content from changing. */
  requireUnchanged(): Promise<void>;
}

/** How one kind of storage pool is read. */
export interface VolumeDriver {
  /** Whether the saved state of a volume does not change while its VM runs. */
  readonly keepsSavedState: boolean;
  /**
   * Whether an opened volume does not change, whatever its VM does meanwhile. If not, it should be opened only when it
   * is read: the longer it is open, the more likely it is to fail.
   */
  holds(volume: PlacedVolume): boolean;
  /** Opens a volume's last committed content, as a snapshot where the pool can. Throws FailedError. */
  open(volume: PlacedVolume): Promise<OpenedVolume>;
  /**
   * Whether Qubes keeps what a halted VM has written apart from the committed content that `open` opens: it could not
   * commit that when the VM stopped, as after a power failure. It does when the VM is next started and stopped. False if
   * that cannot be seen.
   *
   * @param vid the volume's id in the pool
   */
  hasUncommitted(vid: string): Promise<boolean>;
  /** Removes what killed coffer processes have left in the pool. */
  removeStale(): Promise<void>;
}

/** Whether a VM is anything but halted. */
export type IsRunning = (qubeName: string) => Promise<boolean>;
type Named = Pick<PlacedVolume, 'label' | 'qubeName'>;

/**
 * For a volume that its VM writes in place. Throws FailedError when the VM runs: the plan refuses running
 * VMs, so it was started since.
 */
export async function requireHalted(
  { label, qubeName }: Named,
  isRunning: IsRunning,
): Promise<void> {
  if (!(await isRunning(qubeName))) return;
  throw new FailedError(
    `${label} cannot be read while ${qubeName} is running, as it has no separate saved state: ` +
      `shut ${qubeName} down first`,
  );
}

/** The same, for after such a volume has been read. */
export async function requireStillHalted(
  { label, qubeName }: Named,
  isRunning: IsRunning,
): Promise<void> {
  if (!(await isRunning(qubeName))) return;
  throw new FailedError(
    `${qubeName} was started while ${label} was read, so what was read is useless: ` +
      `shut ${qubeName} down and try again`,
  );
}
