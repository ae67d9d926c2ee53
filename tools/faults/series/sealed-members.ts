import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const BLOCK = 512;
const HEADER = 'backup-header';

/**
 * Every member that was ever sealed, by the names that its keys come from: the id of the backup that it was born in, and
 * its own. Under one such pair there must be one content.
 */
export class SealedMembers {
  readonly #contents = new Map<string, string>();
  readonly #seen = new Set<string>();
  readonly #reused = new Set<string>();

  /** How many there are. */
  get size(): number {
    return this.#contents.size;
  }

  /** What is wrong: each of the pairs that were used for two contents. */
  get complaints(): string[] {
    return Array.from(this.#reused, (pair) => `the keys of ${pair} were used twice`);
  }

  /** Adds what the files of a directory hold, as far as they go. */
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

/** The members of a tar, as far as they are whole, without their MACs. */
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
