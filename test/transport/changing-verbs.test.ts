import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { Dom0Storage } from '../../dom0-agent/transport/dom0-storage.ts';
import type { Storage } from '../../dom0-agent/transport/storage.ts';
import { RefusedError, StorageError } from '../../shared/errors.ts';
import { Home, buildAgent } from './storage-vm.ts';

const { signal } = new AbortController();

/** A file that begins as a backup does, which the storage checks before it deletes one. */
const BACKUP = Buffer.concat([
  Buffer.from('backup-header'.padEnd(512, '\0')),
  Buffer.from('format=coffer-1\nbackup-id=00\n'),
  randomBytes(1000),
]);

beforeAll(buildAgent);

/** The same requirements, whether the storage is a VM or dom0; paths are absolute for both. */
describe.each<[string, (home: Home) => Storage]>([
  ['sys-usb', (home) => home.storage()],
  ['dom0', () => new Dom0Storage()],
])('deletion in the storage of %s', (owner, open) => {
  const resultsOf = async (home: Home, names: readonly string[]): Promise<unknown[]> => {
    const deletions = await open(home).deleteBackups(home.backups, names, signal);
    expect(deletions.map(({ fileName }) => fileName)).toEqual(names);
    return deletions.map(({ result }) => result);
  };

  it('deletes the named backups only, and reports a result for each name', async () => {
    using home = new Home();
    for (const name of ['one', 'two', 'three'])
      writeFileSync(path.join(home.backups, name), BACKUP);
    const names = ['three', 'none', 'one'];
    expect(await resultsOf(home, names)).toEqual(['DELETED', 'ABSENT', 'DELETED']);
    expect(home.files()).toEqual(['two']);
    expect(await resultsOf(home, names)).toEqual(['ABSENT', 'ABSENT', 'ABSENT']);
  });

  it('refuses everything but a regular file that begins as a backup does', async () => {
    using home = new Home();
    const at = (name: string): string => path.join(home.backups, name);
    writeFileSync(at('backup'), BACKUP);
    writeFileSync(at('empty'), '');
    writeFileSync(at('short'), BACKUP.subarray(0, 520));
    writeFileSync(at('text'), 'some other text, not a backup '.repeat(100));
    writeFileSync(at('other tar'), Buffer.concat([Buffer.alloc(512), BACKUP.subarray(512)]));
    writeFileSync(
      at('official'),
      Buffer.concat([BACKUP.subarray(0, 512), Buffer.from('version=4\nformat=coffer-1\n')]),
    );
    symlinkSync('backup', at('link'));
    symlinkSync('nowhere', at('dangling'));
    mkdirSync(at('directory'));
    execFileSync('mkfifo', [at('pipe')]);
    const before = home.files();
    const names = before.filter((name) => name !== 'backup');
    expect(await resultsOf(home, names)).toEqual(names.map(() => 'NOT_A_BACKUP'));
    expect(home.files()).toEqual(before);
  });

  it.each(['../backups/one', '.', '..', '', 'a/b', 'a\0b'])(
    'deletes nothing at all if one of the names is not a plain file name: %j',
    async (name) => {
      using home = new Home();
      writeFileSync(path.join(home.backups, 'one'), BACKUP);
      await expect(resultsOf(home, ['one', name])).rejects.toThrow(`${owner} refuses`);
      expect(home.files()).toEqual(['one']);
    },
  );

  it('refuses a directory that does not exist, and a file in place of one', async () => {
    using home = new Home();
    writeFileSync(path.join(home.path, 'file'), BACKUP);
    for (const name of ['nowhere', 'file']) {
      const deleting = open(home).deleteBackups(path.join(home.path, name), ['x'], signal);
      await expect(deleting).rejects.toThrow(RefusedError);
    }
  });

  it('deletes more backups than one request can name', async () => {
    using home = new Home();
    const names = Array.from({ length: 2_500 }, (_, i) => `backup-${i}`);
    for (const name of names.slice(0, 2_400)) writeFileSync(path.join(home.backups, name), BACKUP);
    const results = await resultsOf(home, names);
    expect(results.filter((result) => result === 'DELETED')).toHaveLength(2_400);
    expect(home.files()).toEqual([]);
  });

  it('accepts an empty list of names', async () => {
    using home = new Home();
    expect(await resultsOf(home, [])).toEqual([]);
  });
});

describe.each<[string, (home: Home) => Storage]>([
  ['sys-usb', (home) => home.storage()],
  ['dom0', () => new Dom0Storage()],
])('assembly in the storage of %s', (owner, open) => {
  const target = (home: Home, fileName = 'pack') => ({ directory: home.backups, fileName });

  it('makes a private file of given bytes and ranges of other files, in any order', async () => {
    const sources = [randomBytes(3_000_000), randomBytes(1_000)];
    const piece = fc.oneof(
      fc.record({ bytes: fc.uint8Array({ minLength: 1, maxLength: 2_000 }) }),
      fc.record({
        source: fc.nat({ max: 1 }),
        from: fc.nat(999),
        length: fc.integer({ min: 1, max: 2_500_000 }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async (pieces) => {
        using home = new Home();
        sources.forEach((source, i) => writeFileSync(path.join(home.backups, `s${i}`), source));
        await using assembly = await open(home).openAssembly(target(home), undefined, signal);
        const expected: Buffer[] = [];
        for (const each of pieces) {
          if ('bytes' in each) {
            expected.push(Buffer.from(each.bytes));
            await assembly.write(Buffer.from(each.bytes));
          } else {
            const source = sources[each.source] ?? Buffer.alloc(0);
            const range = source.subarray(each.from, each.from + each.length);
            expected.push(range);
            await assembly.copy(`s${each.source}`, each.from, range.length);
          }
        }
        const written = pieces.flatMap((each) => ('bytes' in each ? [each.bytes] : []));
        const whole = Buffer.concat(expected);
        expect(await assembly.finish()).toEqual({
          location: `${owner}:${path.join(home.backups, 'pack')}`,
          path: path.join(home.backups, 'pack'),
          bytes: whole.length,
          sha256: createHash('sha256').update(Buffer.concat(written)).digest('hex'),
        });
        const file = path.join(home.backups, 'pack');
        expect(readFileSync(file).equals(whole)).toBe(true);
        expect(statSync(file).mode & 0o777).toBe(0o600);
      }),
      { numRuns: 8 },
    );
  });

  it('uses the name .partial until it is finished, and leaves nothing if it is not', async () => {
    using home = new Home();
    writeFileSync(path.join(home.backups, 'one'), BACKUP);
    {
      await using assembly = await open(home).openAssembly(target(home), undefined, signal);
      await assembly.copy('one', 0, BACKUP.length);
      expect(home.files()).toEqual(['one', 'pack.partial']);
    }
    expect(home.files()).toEqual(['one']);
  });

  it('never overwrites a file', async () => {
    using home = new Home();
    writeFileSync(path.join(home.backups, 'pack'), 'mine');
    const opening = open(home).openAssembly(target(home), undefined, signal);
    await expect(opening).rejects.toThrow(RefusedError);
    expect(readFileSync(path.join(home.backups, 'pack'), 'utf8')).toBe('mine');
  });

  it('is refused at once if there is too little space', async () => {
    using home = new Home();
    const opening = open(home).openAssembly(target(home), 2 ** 52, signal);
    await expect(opening).rejects.toThrow('not enough space');
  });

  it.each<[string, string, number, string]>([
    ['does not exist', 'none', 1, 'does not exist'],
    ['is shorter than the range', 'one', BACKUP.length + 1, 'too short'],
    ['is in another directory', '../one', 1, 'plain name'],
    ['is not a regular file', 'pipe', 1, 'not a regular file'],
  ])(
    'fails if a file that it copies from %s, and leaves nothing',
    async (_what, name, length, message) => {
      using home = new Home();
      writeFileSync(path.join(home.backups, 'one'), BACKUP);
      writeFileSync(path.join(home.path, 'one'), BACKUP);
      execFileSync('mkfifo', [path.join(home.backups, 'pipe')]);
      await using assembly = await open(home).openAssembly(target(home), undefined, signal);
      const error: unknown = await (async () => {
        await assembly.copy(name, 0, length);
        await assembly.finish();
      })().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(StorageError);
      expect(String(error)).toContain(message);
      await assembly[Symbol.asyncDispose]();
      expect(home.files()).toEqual(['one', 'pipe']);
    },
  );
});
