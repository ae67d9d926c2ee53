import { describe, expect, it } from 'vitest';
import { noise } from '../archive/official-archives.ts';
import { coffer1Backup, smallFile } from './backups.ts';
import { Recovery, SHELLS } from './script.ts';

const files = [smallFile('vm5/private.img', noise(300_000)), smallFile('vm5/notes.txt', 'a note')];
const backup = await coffer1Backup(files);
const RECOVER = ['-p', 'passphrase', 'a backup', 'out'];

/** The programs that recover.sh needs, apart from a shell and the compressor. */
const PROGRAMS =
  'awk cat chmod cmp dd find head ln mkdir mkfifo mktemp mv od openssl rm sed sort tail tar tr wc'.split(
    ' ',
  );

describe('recover.sh does not call an intact backup damaged', () => {
  it.each(SHELLS)('if there is not enough space in TMPDIR (%s)', (shell) => {
    for (const size of ['4k', '12k', '24k', '48k']) {
      using recovery = new Recovery(backup, shell);
      const { status, stderr } = recovery.runWithMount('tmp', size, ...RECOVER);
      expect({ size, status, stderr }).toMatchObject({ status: 1 });
      expect(stderr).toMatch(
        /^recover\.sh: there is no space in \S+\/tmp for temporary files[^\n]*\n$/,
      );
      expect(recovery.recovered().filter((file) => file.endsWith('.img'))).toEqual([]);
    }
  });

  it.each(SHELLS)('if there is no space for the files (%s)', (shell) => {
    using recovery = new Recovery(backup, shell);
    const { status, stderr } = recovery.runWithMount('out', '200k', ...RECOVER);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: 'recover.sh: there is no space in ./out for vm5/private.img\n',
    });
    expect(recovery.leftovers()).toEqual([]);
  });

  it('if there is no TMPDIR', () => {
    using recovery = new Recovery(backup);
    recovery.removeTemporaryDirectory();
    const { status, stderr } = recovery.list();
    expect(status).toBe(1);
    expect(stderr).toContain('temporary files cannot be made in');
  });

  it('if any of the programs is missing', () => {
    for (const missing of PROGRAMS) {
      using recovery = new Recovery(backup);
      const others = PROGRAMS.filter((program) => program !== missing);
      const { status, stderr } = recovery.runWithPrograms(others, ...RECOVER);
      expect({ missing, status }).toEqual({ missing, status: 1 });
      expect(stderr).toBe(
        `recover.sh: the program ${missing} is needed, but is not on this system\n`,
      );
    }
  });

  it('if the program that decompresses the backup is missing', () => {
    using recovery = new Recovery(backup);
    const { status, stderr } = recovery.runWithPrograms(PROGRAMS, ...RECOVER);
    expect(status).toBe(1);
    expect(stderr).toContain('the program zstd is needed for this backup');
  });

  it('if there are only the programs that it checks for', () => {
    using recovery = new Recovery(backup);
    const { status, stderr } = recovery.runWithPrograms([...PROGRAMS, 'zstd'], ...RECOVER);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });
});
