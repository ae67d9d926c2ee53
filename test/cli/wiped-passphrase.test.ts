import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { CommandReport } from '../../dom0-agent/cli/command-report.ts';
import { listBackups } from '../../dom0-agent/cli/list-backups.ts';
import { openBackup } from '../../dom0-agent/cli/open-backup.ts';
import { openSystem } from '../../dom0-agent/cli/open-system.ts';
import { never, smallSystem } from '../qubes/folder/small-system.ts';

/** A folder system as coffer opens it, and its directory. */
async function opened() {
  const { directory } = await smallSystem();
  return { directory, system: await openSystem(directory, () => undefined) };
}

describe('the passphrase is wiped', () => {
  it('when the backup that it was asked for cannot be opened', async () => {
    const { directory, system } = await opened();
    using report = new CommandReport({ quiet: true });
    const passphrase = Buffer.from('secret');
    const missing = join(directory, 'no-backup');
    // With a passphrase file, the passphrase is read first.
    const flags = { passphraseFile: 'not read here' };
    const ask = () => Promise.resolve(passphrase);
    await expect(openBackup(system, missing, flags, report, never, ask)).rejects.toThrow(missing);
    expect(passphrase).toEqual(Buffer.alloc(6));
  });

  it('when the list of backups is interrupted', async () => {
    const { directory, system } = await opened();
    await writeFile(join(directory, 'qubes-backup-2026-11-25T182900'), 'no backup');
    using report = new CommandReport({ quiet: true });
    const interruption = new AbortController();
    const passphrase = Buffer.from('secret');
    const ask = () => {
      interruption.abort();
      return Promise.resolve(passphrase);
    };
    const storage = await system.storage({});
    const listing = listBackups(storage, directory, ask, [], report, interruption.signal);
    await expect(listing).rejects.toThrow();
    expect(passphrase).toEqual(Buffer.alloc(6));
  });
});
