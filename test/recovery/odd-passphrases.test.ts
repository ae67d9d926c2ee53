import { describe, expect, it } from 'vitest';
import { ODD_PASSPHRASES } from '../passphrases/odd-passphrases.ts';
import { coffer1Backup } from './backups.ts';
import { Recovery, SHELLS } from './script.ts';

/** Each in one of the shells, by turns; those that a shell could interpret or lose, in all of them. */
const CASES = ODD_PASSPHRASES.flatMap((odd, index) => {
  const inAll = /shells|backslash|random bytes|the longest|NUL/.test(odd.what);
  const shells = inAll ? SHELLS : [SHELLS[index % SHELLS.length]];
  return shells.map((shell) => ({ ...odd, shell }));
});

describe('recover.sh, as coffer does,', () => {
  it.each(CASES.filter(({ made }) => made))(
    'opens a backup with $what ($shell)',
    async ({ file, passphrase = '', shell }) => {
      const backup = await coffer1Backup([], { passphrase: Buffer.from(passphrase) });
      using recovery = new Recovery(backup, shell);
      recovery.passphraseFile(file);
      expect(recovery.list()).toMatchObject({ status: 0, stderr: '' });
    },
  );

  it.each(CASES.filter(({ passphrase, made }) => passphrase === undefined && !made))(
    'refuses $what with a reason ($shell)',
    async ({ file, says, shell }) => {
      using recovery = new Recovery(await coffer1Backup([]), shell);
      recovery.passphraseFile(file);
      const { status, stderr } = recovery.list();
      expect(status).toBe(2);
      expect(stderr).toMatch(says ?? /./);
    },
  );
});
