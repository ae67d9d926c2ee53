import { DamagedError } from '../../../shared/errors.ts';
import { HEADER_NAME } from '../untrusted-header.ts';
import { parsePartName } from '../parts/part-name.ts';
import { type Manifest, type ManifestMember, lengthInTar } from './manifest.ts';

/** Where the members of a path are in the archive, one after the other: from byte `from` up to, not including, `to`. */
export interface Place {
  readonly path: string;
  readonly from: number;
  readonly to: number;
  readonly members: readonly ManifestMember[];
}

/** Where everything that the manifest lists is in the archive, except the parts of volumes. */
export class MemberPlaces {
  /** Where the parts of volumes begin. */
  readonly parts: number;
  /** Where the manifest begins. */
  readonly end: number;
  readonly #places = new Map<
    string,
    { path: string; from: number; to: number; members: ManifestMember[] }
  >();

  /** Throws DamagedError when a path's members are not all there, in order. */
  constructor({ members, partsBefore, partsLength }: Manifest) {
    let [offset, parts] = [0, 0];
    for (const [position, member] of members.entries()) {
      if (position === partsBefore) {
        parts = offset;
        offset += partsLength;
      }
      const to = offset + lengthInTar(member.size);
      if (member.name !== HEADER_NAME) this.#add(member, offset, to);
      offset = to;
    }
    this.parts = partsBefore < members.length ? parts : offset;
    this.end = partsBefore < members.length ? offset : offset + partsLength;
  }

  /** Throws DamagedError if the backup does not contain the path. */
  of(path: string): Place {
    const place = this.#places.get(path);
    if (place === undefined) throw new DamagedError(`the backup does not contain ${path}`);
    return place;
  }

  all(): Iterable<Place> {
    return this.#places.values();
  }

  #add(member: ManifestMember, from: number, to: number): void {
    const { path, index } = parsePartName(member.name) ?? { path: '', index: -1 };
    const place = this.#places.get(path);
    if (place === undefined && index === 0) {
      this.#places.set(path, { path, from, to, members: [member] });
    } else if (place?.members.length === index && place.to === from) {
      place.members.push(member);
      place.to = to;
    } else {
      throw new DamagedError('the manifest of the backup is not valid, though authentic');
    }
  }
}
