import type { Qube, Volume } from '../qube.ts';

/** A volume in qubes.xml, where `usage` is never known. */
export interface StoredVolume extends Volume {
  /** The other attributes, unparsed: `rw`, `snap_on_start`, `source`, … */
  readonly settings: ReadonlyMap<string, string>;
}

export interface StoredQube extends Qube {
  readonly volumes: readonly StoredVolume[];
}

export interface Label {
  /** The `1` of `label-1`. */
  readonly index: number;
  readonly name: string;
  /** `0xcc0000`; empty if unknown. */
  readonly color: string;
}

/** A VM of a class that cannot be backed up, such as a RemoteVM: only its name matters. */
export interface UnknownDomain {
  readonly name: string;
  readonly className: string;
  readonly features: ReadonlyMap<string, string>;
}

/** The contents of a qubes.xml of R4. */
export interface QubesStore {
  readonly labels: readonly Label[];
  /** Each pool's attributes, except its name. */
  readonly pools: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** The system's own: `default_netvm`, `default_template`, … */
  readonly properties: ReadonlyMap<string, string>;
  /** dom0, called `dom0`, is first, if present. */
  readonly qubes: readonly StoredQube[];
  readonly unknownDomains: readonly UnknownDomain[];
}

/** The labels of a fresh Qubes system (qubes/config.py of qubes-core-admin). */
export const STANDARD_LABELS: readonly Label[] = [
  { index: 1, name: 'red', color: '0xcc0000' },
  { index: 2, name: 'orange', color: '0xf57900' },
  { index: 3, name: 'yellow', color: '0xedd400' },
  { index: 4, name: 'green', color: '0x73d216' },
  { index: 5, name: 'gray', color: '0x555555' },
  { index: 6, name: 'blue', color: '0x3465a4' },
  { index: 7, name: 'purple', color: '0x75507b' },
  { index: 8, name: 'black', color: '0x000000' },
];
