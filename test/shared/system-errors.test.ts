import { mkdtemp, open, readFile, readdir, rm, rmdir, symlink } from 'node:fs/promises';
import { constants } from 'node:os';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FailedError, firstOf, messageOf, reasonOf } from '../../shared/errors.ts';
import { toStorageFailure } from '../../storage/storage-failure.ts';
import { systemWordsOf } from '../../shared/system-errors.ts';

const thrownBy = (step: Promise<unknown>): Promise<unknown> =>
  step.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('an error of the operating system', () => {
  it('is described in a sentence with its file', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'coffer-words-'));
    try {
      const loop = join(directory, 'loop');
      await symlink(loop, loop);
      const long = join(directory, 'x'.repeat(300));
      for (const [step, words] of [
        [
          () => readFile(join(directory, 'none')),
          `there is no such file or directory (${directory}/none)`,
        ],
        [() => readFile(loop), `there is a loop of symbolic links (${loop})`],
        [() => readFile(long), `the name is too long (${long})`],
        [
          () => readdir('/proc/self/stat'),
          'a part of the path is not a directory (/proc/self/stat)',
        ],
        [() => open(directory, 'w'), `it is a directory (${directory})`],
        [() => rmdir(directory), `the directory is not empty (${directory})`],
      ] as const) {
        const error = await thrownBy(step());
        expect(messageOf(error)).toBe(words);
        expect(reasonOf(error)).toBe(words.replace(/ \(.*\)$/, ''));
        expect(toStorageFailure(error).message).not.toMatch(/E[A-Z]{3,}/);
      }
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it.each([
    ...[
      'EACCES',
      'EROFS',
      'EFBIG',
      'ENOSPC',
      'EDQUOT',
      'EMFILE',
      'ENFILE',
      'EIO',
      'ENXIO',
      'ENOTCONN',
    ],
    ...['ESTALE', 'EBUSY', 'ENOMEM', 'EPERM', 'EXDEV', 'EPIPE', 'EAGAIN', 'ECONNREFUSED', 'ENODEV'],
  ])('has a description: %s', (code) => {
    expect(constants.errno).toHaveProperty(code);
    const error = Object.assign(new Error(`${code}: raw, write`), { code });
    expect(systemWordsOf(error)).toMatch(/^[a-z ,-]+$/);
    expect(messageOf(error)).toBe(systemWordsOf(error));
  });

  it('keeps its message if there is no description, like any other error', () => {
    const odd = Object.assign(new Error('EUCLEAN: structure needs cleaning'), { code: 'EUCLEAN' });
    expect(messageOf(odd)).toBe('EUCLEAN: structure needs cleaning');
    expect(messageOf(Object.assign(new Error('x'), { code: 'toString' }))).toBe('x');
    expect(messageOf(new Error('my own words'))).toBe('my own words');
    expect(messageOf('thrown text')).toBe('thrown text');
  });
});

describe('an error after which cleaning up fails as well', () => {
  const failing = (why: string): AsyncDisposable => ({
    [Symbol.asyncDispose]: () => Promise.reject(new Error(why)),
  });

  async function failThrice(): Promise<void> {
    await using one = failing('third');
    await using other = failing('second');
    throw new FailedError(one === other ? 'no' : 'first');
  }

  it('is reported as it would be otherwise', async () => {
    const thrown = await failThrice().catch((error: unknown) => error);
    expect(thrown).not.toBeInstanceOf(FailedError);
    expect(firstOf(thrown)).toBeInstanceOf(FailedError);
    expect([messageOf(thrown), reasonOf(thrown)]).toEqual(['first', 'first']);
  });
});
