import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tarOf } from '../../../test/archive/tar/tar-of.ts';
import { SealedMembers } from './sealed-members.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'coffer-sealed-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

const [ONE, OTHER] = ['1'.repeat(32), '2'.repeat(32)];

/** A file of a series, with only what matters here. */
function file(id: string, ...members: readonly (readonly [string, string])[]): Promise<Buffer> {
  const all = [['backup-header', `format=coffer-1\nbackup-id=${id}\n`] as const, ...members];
  return tarOf(all.map(([name, text]) => [name, Buffer.from(text)] as const));
}

async function complaintsAbout(...files: readonly Promise<Buffer>[]): Promise<string[]> {
  const sealed = new SealedMembers();
  for (const bytes of files) {
    writeFileSync(join(directory, 'file'), await bytes);
    sealed.addAll(directory);
  }
  return sealed.complaints;
}

describe('reuse of keys', () => {
  it('is reported if a member has different contents in two files with the same backup id', async () => {
    const complaint = [`the keys of ${ONE} data.000 were used twice`];
    expect(
      await complaintsAbout(file(ONE, ['data.000', 'abc']), file(ONE, ['data.000', 'abd'])),
    ).toEqual(complaint);
  });

  it('is reported if a part that was moved into a pack has a different content there', async () => {
    const moved = `from/${ONE}/data.000`;
    const [one, same, changed] = [
      file(ONE, ['data.000', 'abc']),
      file(OTHER, [moved, 'abc']),
      file(OTHER, [moved, 'abd']),
    ];
    expect(await complaintsAbout(one, same)).toEqual([]);
    expect(await complaintsAbout(one, changed)).toHaveLength(1);
  });

  it('is not reported for other names, other backup ids, or the same content', async () => {
    const files = [
      file(ONE, ['data.000', 'abc'], ['data.001', 'abd']),
      file(ONE, ['data.000', 'abc']),
      file(OTHER, ['data.000', 'xyz'], [`trimmed/${ONE}/data.000`, 'ab']),
    ];
    expect(await complaintsAbout(...files)).toEqual([]);
  });
});
