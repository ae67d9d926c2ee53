import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const BLOCK = 512;
const HEADER = 'backup-header';

/**
 * Every member that was ever sealed, by what its keys are derived from: the id of the file that it was first stored in,
 * and its name. No such pair may be used for two different contents.
 */
export class SealedMembers {
  readonly #contents = new Map<string, string>();
  readonly #seen = new Set<string>();
  readonly #reused = new Set<string>();

  /** How many members there are. */
  get size(): number {
    return this.#contents.size;
  }

  /** A complaint for each pair that was used for two contents. */
  get complaints(): string[] {
    return Array.from(this.#reused, (pair) => `the keys of ${pair} were used twice`);
  }

  /** Adds the members of all files in a directory; incomplete files are read as far as possible. */
  addAll(directory: string): void {
    for (const name of readdirSync(directory)) {
      const bytes = readFileSync(join(directory, name));
      const digest = createHash('sha256').update(bytes).digest('hex');
      if (!this.#seen.has(digest)) this.#add(bytes);
      this.#seen.add(digest);
    }
  }

  #add(file: Buffer): void {
    let id = '';
    for (const { name, bytes } of membersOf(file)) {
      if (name === HEADER)
        id = /^backup-id=([0-9a-f]{32})$/m.exec(bytes.toString('latin1'))?.[1] ?? '';
      const moved = /^from\/([0-9a-f]{32})\/(.*)$/.exec(name);
      const pair = `${moved?.[1] ?? id} ${moved?.[2] ?? name}`;
      const content = createHash('sha256').update(bytes).digest('hex');
      const known = this.#contents.get(pair);
      if (known !== undefined && known !== content) this.#reused.add(pair);
      this.#contents.set(pair, content);
    }
  }
}

/** The complete members of a tar, without their MACs. */
function* membersOf(tar: Buffer): Generator<{ name: string; bytes: Buffer }> {
  for (let at = 0; at + BLOCK <= tar.length;) {
    const name = tar.toString('latin1', at, at + 100).replace(/\0.*$/s, '');
    const size = Number.parseInt(tar.toString('latin1', at + 124, at + 135), 8);
    const bytes = tar.subarray(at + BLOCK, at + BLOCK + size);
    if (name === '' || bytes.length < size) return;
    if (!name.endsWith('.hmac')) yield { name, bytes };
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
}
