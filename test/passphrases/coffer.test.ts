import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openArchive } from '../../dom0-agent/archive/open-archive.ts';
import { firstLineOf } from '../../dom0-agent/cli/read-passphrase.ts';
import { CofferError } from '../../shared/errors.ts';
import { inputOf } from '../archive/memory.ts';
import { Box } from '../cli/box.ts';
import { ODD_PASSPHRASES } from './odd-passphrases.ts';

const lineEnd = Buffer.from('\r\nanother line\n');
const never = new AbortController().signal;

let box: Box;
beforeAll(async () => {
  box = await Box.full(() => undefined);
  return () => rmSync(box.directory, { recursive: true });
});

/** The exit status of opening the backup: 0 if the passphrase is right. */
async function opening(backup: Buffer, passphrase: Buffer): Promise<number> {
  try {
    await openArchive(inputOf(backup, true), passphrase, never);
    return 0;
  } catch (error) {
    if (error instanceof CofferError) return error.exitStatus;
    throw error;
  }
}

describe.each(ODD_PASSPHRASES)(
  'a passphrase file with $what',
  ({ file, passphrase, ...expected }) => {
    const formats = [
      ['coffer-1', expected.made],
      ['qubes-4', expected.madeForQubes],
    ] as const;
    it.each(formats)(
      'makes a backup in the format %s (%s), or is refused',
      async (format, isMade) => {
        const path = join(box.directory, 'odd');
        writeFileSync(path, file);
        const args = ['-p', path];
        const before = new Set(readdirSync(box.backups));
        // Each has a passphrase of its own, and so needs a series of its own.
        const anew = format === 'coffer-1' ? ['--new-series'] : [];
        const words = [
          'backup',
          ...args,
          '-y',
          '--no-check',
          ...anew,
          '--format',
          format,
          box.backups,
          'vault',
        ];
        const made = box.coffer(words);
        if (isMade) expect(made, made.stderr).toMatchObject({ status: 0 });
        else expect(made).toMatchObject({ status: 5 });
        if (expected.says === undefined) expect(made.stderr).toBe('');
        else expect(made.stderr).toMatch(expected.says);
        const [backup] = readdirSync(box.backups).filter((name) => !before.has(name));
        expect(backup !== undefined).toBe(isMade);
        if (backup === undefined) return;

        expect(box.coffer(['list', ...args, join(box.backups, backup)])).toMatchObject({
          status: 0,
        });
        // Exactly the bytes that count as the passphrase open it.
        if (passphrase === undefined) throw new Error('a backup was made without a passphrase');
        writeFileSync(path, Buffer.concat([passphrase, lineEnd]));
        const bytes = readFileSync(join(box.backups, backup));
        expect(await opening(bytes, await firstLineOf(path, never))).toBe(0);
        for (const at of [0, passphrase.length - 1]) {
          const other = Buffer.from(passphrase);
          other[at] = (other[at] ?? 0) ^ 0x10;
          expect(await opening(bytes, other)).toBe(3);
        }
      },
    );
  },
);
