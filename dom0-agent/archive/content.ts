import type { Extent } from '../../shared/sparse-data.ts';
import type { ReadAt } from './tar/inner-writer.ts';

/** A small file on its way into a backup: qubes.xml, `vm5/firewall.xml`. */
export interface SmallContent {
  readonly kind: 'file';
  readonly path: string;
  readonly bytes: Buffer;
}

/** A check, by samples, that what is reported as unchanged really is. */
export interface CheckOfChanges {
  /**
   * The numbers of the chunks to read and compare nevertheless.
   *
   * @param unchanged runs of chunks that are reported as unchanged, ascending and disjoint
   */
  sampleOf(unchanged: Iterable<{ first: number; count: number }>): readonly number[];
  /** Called when one of them has changed; the whole volume is then read. */
  wrong(): Promise<void>;
}

/** A volume on its way into a backup. */
export interface VolumeContent {
  readonly kind: 'volume';
  /** `vm5/private.img` */
  readonly path: string;
  /** Equal chunks in the same domain have equal ids; printable ASCII without spaces. */
  readonly domain: string;
  /** Identifies the volume and its VM, whatever the VM's name; printable ASCII without spaces. */
  readonly origin: string;
  /** In bytes, holes included. */
  readonly size: number;
  /** Where there may be anything but zeros: ascending, within `size`. */
  readonly extents: readonly Extent[];
  /** Which bytes may have changed since the volume's last map, ascending; the others are not read. Undefined: any. */
  readonly changed?: readonly Extent[] | undefined;
  /** For a `changed` that may be wrong; undefined if there is none, or it is certain. */
  readonly check?: CheckOfChanges | undefined;
  readonly read: ReadAt;
}

/** A tree of files on its way into a backup, as a tar: dom0's home, or what was chosen of its configuration. */
export interface TreeContent {
  readonly kind: 'tree';
  /** `dom0-home/home`, `dom0-home/paths` */
  readonly path: string;
  readonly tar: AsyncIterable<Buffer>;
}

/**
 * What a backup is made of. For coffer-1 in this order: small files, beginning with qubes.xml; volumes; small files
 * about those; trees.
 */
export type Content = SmallContent | VolumeContent | TreeContent;
