import type { Qube } from './qube.ts';

/** A VM and where it is in an archive. */
export interface ArchivedQube {
  readonly qube: Qube;
  /** Its directory in the archive, without a slash at the end: `vm5`, in old ones `appvms/work`. */
  readonly directory: string;
  /** Bytes before compression; an estimate for tables and progress. */
  readonly size: number;
}

/** A VM as a backup describes it. */
export interface BackedUpQube extends ArchivedQube {
  /** What differs from the backup because Qubes would not accept it. */
  readonly remarks: readonly string[];
  /** Its name in the backup, if Qubes does not accept that any more. */
  readonly formerName?: string | undefined;
}

/** dom0's home as a backup describes it. */
export interface BackedUpHome {
  /** Where it is in the archive: `dom0-home/home`, or in official archives `dom0-home/<user>`. */
  readonly directory: string;
  /** The user that it belongs to. */
  readonly user: string;
  /** In bytes, according to the backup; an estimate for tables and progress. */
  readonly size: number;
}

/** Files and directories of dom0's configuration, as a backup describes them. */
export interface BackedUpPaths {
  /** Where they are in the archive: `dom0-home/paths`. */
  readonly directory: string;
  /** Absolute paths in dom0, none of them within another. */
  readonly paths: readonly string[];
  /** In bytes; an estimate for tables and progress. */
  readonly size: number;
}

/** VMs of a backup, and what it has of dom0. */
export interface QubesAndHome {
  readonly qubes: readonly BackedUpQube[];
  readonly dom0Home: BackedUpHome | undefined;
  readonly dom0Paths?: BackedUpPaths | undefined;
}

/** The directories of an archive with what it has of dom0: its home, its configuration. */
export function dom0Trees({ dom0Home, dom0Paths }: Omit<QubesAndHome, 'qubes'>): string[] {
  return [dom0Home, dom0Paths].flatMap((tree) => (tree === undefined ? [] : [tree.directory]));
}

/** The size of what a backup has of dom0, in bytes; undefined if that is nothing. */
export function sizeOfDom0({
  dom0Home,
  dom0Paths,
}: Omit<QubesAndHome, 'qubes'>): number | undefined {
  if (dom0Home === undefined && dom0Paths === undefined) return undefined;
  return (dom0Home?.size ?? 0) + (dom0Paths?.size ?? 0);
}

/** What is in a backup, according to its authenticated qubes.xml. */
export interface BackupContents extends QubesAndHome {
  /** When it was started, to the second; the official tools do not record it. */
  readonly created: Date | undefined;
  readonly unusable: readonly UnusableQube[];
}

/** A VM of a backup that cannot be restored, since Qubes or coffer does not accept its class or its entry. */
export interface UnusableQube {
  /** Printable. */
  readonly name: string;
  readonly why: string;
  /** Where its files are in the archive, if that is known. */
  readonly directory: string | undefined;
}
