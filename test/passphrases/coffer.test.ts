import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Box } from '../cli/box.ts';
import { ODD_PASSPHRASES } from './odd-passphrases.ts';

const lineEnd = Buffer.from('\r\nanother line\n');

describe.each(ODD_PASSPHRASES)(
  'a passphrase file with $what',
  ({ file, passphrase, ...expected }) => {
    const formats = [
      ['coffer-1', expected.made],
      ['qubes-4', expected.madeForQubes],
    ] as const;
    it.each(formats)('makes a backup of format %s, or is refused: %s', async (format, isMade) => {
      const box = await Box.full();
      const path = join(box.directory, 'odd');
      writeFileSync(path, file);
      const args = ['-d', 'usb', '-p', path];
      const made = box.coffer(['backup', ...args, '-y', '--format', format, 'backups', 'vault']);
      if (isMade) expect(made, made.stderr).toMatchObject({ status: 0 });
      else expect(made).toMatchObject({ status: 5 });
      if (expected.says === undefined) expect(made.stderr).toBe('');
      else expect(made.stderr).toMatch(expected.says);
      const [backup] = readdirSync(box.backups);
      if (backup === undefined) return;

      const list = (): number | null => box.coffer(['list', ...args, `backups/${backup}`]).status;
      expect(list()).toBe(0);
      // The bytes that count, and no others, open it.
      if (passphrase === undefined) throw new Error('a backup was made without a passphrase');
      writeFileSync(path, Buffer.concat([passphrase, lineEnd]));
      expect(list()).toBe(0);
      for (const at of [0, passphrase.length - 1]) {
        const other = Buffer.from(passphrase);
        other[at] = (other[at] ?? 0) ^ 0x10;
        writeFileSync(path, Buffer.concat([other, lineEnd]));
        expect([3, 5]).toContain(list());
      }
    });
  },
);
