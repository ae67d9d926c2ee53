import type { Extent } from '../../shared/sparse-data.ts';
import type { ReadAt } from './tar/inner-writer.ts';

/** A small file on its way into a backup: qubes.xml, `vm5/firewall.xml`. */
export interface SmallContent {
  readonly kind: 'file';
  readonly path: string;
  readonly bytes: Buffer;
}

/** How it is found out that what is said not to have changed has changed after all. */
export interface CheckOfChanges {
  /**
   * Which chunks are to be read and compared all the same.
   *
   * @param unchanged runs of chunks that are said not to have changed, ascending and disjoint
   */
  sampleOf(unchanged: readonly { first: number; count: number }[]): readonly number[];
  /** One of them has changed: everything in the volume is read now. */
  wrong(): Promise<void>;
}

/** A volume on its way into a backup. */
export interface VolumeContent {
  readonly kind: 'volume';
  /** `vm5/private.img` */
  readonly path: string;
  /** Within which equal chunks have equal ids; printable ASCII without spaces. */
  readonly domain: string;
  /** Which volume of which VM it is, whatever that VM is called; printable ASCII without spaces. */
  readonly origin: string;
  /** In bytes, holes included. */
  readonly size: number;
  /** Where there may be anything but zeros: ascending, within `size`. */
  readonly extents: readonly Extent[];
  /**
   * Which bytes may differ from what the volume's last map tells: ascending, others are not read. Undefined: any.
   */
  readonly changed?: readonly Extent[] | undefined;
  /** Where `changed` may be wrong: undefined where nothing is told, or where it is certain. */
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
 * What a backup is made of. In coffer-1 in this order: small files, qubes.xml the first of them; volumes; small
 * files about those; trees.
 */
export type Content = SmallContent | VolumeContent | TreeContent;
