import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  openEachSeries,
  openWholeSeries,
} from '../../../dom0-agent/archive/coffer1/whole-series.ts';
import { WrongPassphraseError } from '../../../shared/errors.ts';
import { MemoryDirectory } from '../memory-directory.ts';
import { PASSPHRASE, makeArchive, never } from './sample.ts';

/** The same backup, but its header claims to be of another series, as anybody can make it. */
function ofAnotherSeries(backup: Buffer): Buffer {
  const text = backup.toString('latin1');
  const claimed = `series-id=${randomBytes(16).toString('hex')}`;
  return Buffer.from(text.replace(/series-id=[0-9a-f]{32}/, claimed), 'latin1');
}

describe.each([
  ['all series in a directory', openWholeSeries],
  ['each series in a directory', openEachSeries],
])('opening %s', (_, open) => {
  it('derives at most 50 keys, however many series the storage makes up', async () => {
    const backup = await makeArchive({ 'vm5/private.img': Buffer.alloc(1000, 'x') });
    const forged = Array.from({ length: 50 }, (__, number) => `forged${number}`);
    const directory = new MemoryDirectory({
      ...Object.fromEntries(forged.map((name) => [name, ofAnotherSeries(backup)])),
      backup,
    });
    const openIn = (...names: string[]): Promise<unknown> =>
      open(directory, names, Buffer.from(PASSPHRASE), never);
    await expect(openIn(...forged.slice(0, 3), 'backup')).resolves.toBeDefined();
    await expect(openIn(...forged, 'backup')).rejects.toThrow(WrongPassphraseError);
  }, 60_000);
});
