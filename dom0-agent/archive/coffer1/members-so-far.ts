import { DamagedError } from '../../../shared/errors.ts';
import { parsePartName } from '../parts.ts';
import { LARGEST_MANIFEST, MANIFEST_PATH, type ManifestMember, memberLine } from './manifest.ts';

/**
 * The members that came of a stream, to be held against the manifest at its end. What a manifest cannot list
 * is refused as soon as it comes, so that this cannot grow without end.
 */
export class MembersSoFar {
  readonly #members: ManifestMember[] = [];
  readonly #paths = new Set<string>();
  #path: string | undefined;
  #nextIndex = 0;
  #manifestLength = 0;

  constructor(header: ManifestMember) {
    this.#members.push(header);
  }

  /** In their order, without the manifest. */
  get all(): readonly ManifestMember[] {
    return this.#members;
  }

  /** A part of a file, in its turn. Throws DamagedError when it cannot be its turn. */
  note({ name, size, mac }: ManifestMember): void {
    const place = parsePartName(name);
    if (place === undefined) throw new RangeError(`${name} is no part of a file`);
    if (place.path === MANIFEST_PATH) return;
    if (place.path !== this.#path) this.#begin(place.path);
    if (place.index !== this.#nextIndex++) {
      throw new DamagedError(`${name} is not where it should be in the backup`);
    }
    const member = { name, size, mac };
    this.#manifestLength += memberLine(member).length + 1;
    if (this.#manifestLength > LARGEST_MANIFEST) {
      throw new DamagedError('the backup holds more parts than a manifest can list');
    }
    this.#members.push(member);
  }

  #begin(path: string): void {
    if (this.#paths.has(path)) throw new DamagedError(`the backup holds ${path} twice`);
    this.#paths.add(path);
    this.#path = path;
    this.#nextIndex = 0;
  }
}
