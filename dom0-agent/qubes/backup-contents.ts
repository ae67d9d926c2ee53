import type { Qube } from './qube.ts';

/** A VM and where it lies in an archive. */
export interface ArchivedQube {
  readonly qube: Qube;
  /** Its directory in the archive, without a slash at the end: `vm5`, in old ones `appvms/work`. */
  readonly directory: string;
  /** Bytes before compression; an estimate for tables and progress. */
  readonly size: number;
}

/** A VM as a backup tells of it. */
export interface BackedUpQube extends ArchivedQube {
  /** What of it is not as the backup has it, since Qubes would not take that. */
  readonly remarks: readonly string[];
  /** What the backup calls it, if Qubes does not take that name any more. */
  readonly formerName?: string | undefined;
}

/** dom0's home as a backup tells of it. */
export interface BackedUpHome {
  /** Where it lies in the archive: `dom0-home/home`, or as the official tools have it, `dom0-home/<user>`. */
  readonly directory: string;
  /** Whom it belongs to. */
  readonly user: string;
  /** Bytes, as the backup tells; an estimate for tables and progress. */
  readonly size: number;
}

/** VMs of a backup, and dom0's home if it is among them. */
export interface QubesAndHome {
  readonly qubes: readonly BackedUpQube[];
  readonly dom0Home: BackedUpHome | undefined;
}

/** What a backup holds, from its authenticated qubes.xml. */
export interface BackupContents extends QubesAndHome {
  /** When it was begun, to the second; the official tools do not tell. */
  readonly created: Date | undefined;
  readonly unusable: readonly UnusableQube[];
}

/** A VM of a backup that cannot be restored, since Qubes or coffer would not take its class or its entry. */
export interface UnusableQube {
  /** Fit to be shown. */
  readonly name: string;
  readonly why: string;
  /** Where its files lie in the archive, if that can be told. */
  readonly directory: string | undefined;
}

/** The bytes of all that is restored or verified: an estimate for progress. */
export function totalSize({ qubes, dom0Home }: QubesAndHome): number {
  return qubes.reduce((sum, { size }) => sum + size, dom0Home?.size ?? 0);
}
