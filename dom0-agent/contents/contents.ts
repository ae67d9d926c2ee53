import type { Qube } from '../qubes/qube.ts';
import type { UnusableQube } from '../qubes/xml/qubes-store.ts';

/** A VM as a backup tells of it. */
export interface BackedUpQube {
  readonly qube: Qube;
  /** Its directory in the archive, without a slash at the end: `vm5`, in old ones `appvms/work`. */
  readonly directory: string;
  /** Bytes, as the backup tells; an estimate for tables and progress. */
  readonly size: number;
  /** What of it is not as the backup has it, since Qubes would not take that. */
  readonly remarks: readonly string[];
  /** What the backup calls it, if Qubes does not take that name any more. */
  readonly formerName?: string | undefined;
}

/** dom0's home as a backup tells of it. */
export interface BackedUpHome {
  /** Where it lies in the archive: `dom0-home/home`. */
  readonly directory: string;
  /** Whom it belongs to, if that is known. */
  readonly user: string | undefined;
  /** Bytes, as the backup tells; an estimate for tables and progress. */
  readonly size: number;
}

/** What a backup holds, from its authenticated qubes.xml. */
export interface BackupContents {
  /** When it was made; old formats do not tell. */
  readonly created: Date | undefined;
  readonly qubes: readonly BackedUpQube[];
  /** dom0's home, if it is in the backup. */
  readonly dom0Home: BackedUpHome | undefined;
  readonly unusable: readonly UnusableQube[];
}

/** The bytes of all that is restored or verified: an estimate for progress. */
export function totalSize(
  qubes: readonly BackedUpQube[],
  dom0Home: BackedUpHome | undefined,
): number {
  return qubes.reduce((sum, { size }) => sum + size, dom0Home?.size ?? 0);
}
