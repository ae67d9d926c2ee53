import type { Qube } from '../qubes/qube.ts';

/** A VM as a backup tells of it. */
export interface BackedUpQube {
  readonly qube: Qube;
  /** Its directory in the archive, without a slash at the end: `vm5`, in old ones `appvms/work`. */
  readonly directory: string;
  /** Bytes, as the backup tells; an estimate for tables and progress. */
  readonly size: number;
}

/** What a backup holds, from its authenticated qubes.xml. */
export interface BackupContents {
  /** When it was made; old formats do not tell. */
  readonly created: Date | undefined;
  readonly qubes: readonly BackedUpQube[];
  /** dom0's home, if it is in the backup, and the name of the user it belongs to, if known. */
  readonly dom0Home: { readonly directory: string; readonly user: string | undefined } | undefined;
  /** VMs of classes that coffer cannot restore. */
  readonly unknownDomains: readonly { readonly name: string; readonly className: string }[];
}
