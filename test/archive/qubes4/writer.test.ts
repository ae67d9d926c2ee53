import { describe, expect, it } from 'vitest';
import { COMPRESSION_FILTERS } from '../../../dom0-agent/archive/compress/compression.ts';
import { scryptCost } from '../../../dom0-agent/archive/scrypt-cost.ts';
import { FailedError } from '../../../shared/errors.ts';
import { WorkDirectory, membersOf, noise, readAll, sha256 } from '../official-archives.ts';
import { CHEAP, PASSPHRASE, makeArchive } from './write-sample.ts';

const FILES = {
  'vm5/private.img': noise(50_000),
  'vm5/notes.txt': 'quarterly reports\n',
  'vm6/empty': '',
  'dom0-home/user': Buffer.alloc(300_000, 'compressible '),
};
const HASHES = Object.fromEntries(
  Object.entries(FILES).map(([path, content]) => [path, sha256(content)]),
);

/** What scrypt(1) makes of a member. */
function opened(work: WorkDirectory, name: string, content: Buffer, phrase: string): Buffer {
  const file = work.write(`${name}.sealed`, content);
  const args = ['dec', '--passphrase', 'dev:stdin-once', file];
  return work.run('scrypt', args, Buffer.from(`${phrase}\n`));
}

describe('an archive of format 4', () => {
  it('can be opened with tar, scrypt and the filter, member by member', async () => {
    using work = new WorkDirectory();
    const archive = await makeArchive(FILES, { compressionFilter: 'gzip' });
    work.write('archive', archive);
    work.run('tar', ['-ixf', 'archive']);
    const header = work.take('backup-header');
    const [, id = ''] = /^backup-id=(20261123T214501-\d+)$/m.exec(header.toString()) ?? [];
    const headerMac = work.take('backup-header.hmac');
    expect(opened(work, 'header', headerMac, `backup-header!${PASSPHRASE}`)).toEqual(header);

    for (const [path, content] of Object.entries({ 'qubes.xml': '<qubes/>', ...FILES })) {
      const parts: Buffer[] = [];
      for (let i = 0; work.has(`${path}.00${i}.enc`); i++) {
        const name = `${path}.00${i}`;
        const sealed = work.take(`${name}.enc`);
        parts.push(opened(work, name, sealed, `${id}!${name}!${PASSPHRASE}`));
      }
      expect(parts.slice(0, -1).every(({ length }) => length === CHEAP.partSize)).toBe(true);
      const tar = work.run('gzip', ['-d'], Buffer.concat(parts));
      expect(work.run('tar', ['-xOf', '-', path], tar)).toEqual(Buffer.from(content));
    }
  });

  it('has the layout of the official writer', async () => {
    const members = membersOf(await makeArchive(FILES));
    expect(members.map(({ name }) => name)).toEqual([
      'backup-header',
      'backup-header.hmac',
      'qubes.xml.000.enc',
      ...['000', '001', '002', '003'].map((part) => `vm5/private.img.${part}.enc`),
      'vm5/notes.txt.000.enc',
      'vm6/empty.000.enc',
      ...Array.from({ length: 19 }, (_, i) => `dom0-home/user.0${`${i}`.padStart(2, '0')}.enc`),
      'coffer-manifest.000.enc',
    ]);
    expect(members[0]?.content.toString()).toMatch(
      /^version=4\nencrypted=True\ncompressed=False\ncompression-filter=gzip\nhmac-algorithm=scrypt\nbackup-id=\d{8}T\d{6}-\d+\ncoffer-manifest=True\n$/,
    );
    // The official reader accepts no larger one.
    expect(members[1]?.content.length).toBeLessThan(4096);
  });

  it('can be read back, whichever filter compressed it', async () => {
    for (const compressionFilter of [undefined, ...COMPRESSION_FILTERS]) {
      const archive = await makeArchive(FILES, { compressionFilter });
      for (const seekable of [true, false]) {
        const { qubesXml, files } = await readAll(archive, PASSPHRASE, seekable);
        expect(qubesXml).toBe('<qubes/>');
        expect(Object.fromEntries(files)).toEqual(HASHES);
      }
    }
  });

  it('has the requested key cost, in every member', async () => {
    const members = membersOf(await makeArchive({}, { kdf: scryptCost(14) }));
    for (const { content } of members.slice(1)) {
      expect([content[7], content.readUInt32BE(8), content.readUInt32BE(12)]).toEqual([14, 8, 1]);
    }
  });

  it('has different keys for every member and every backup', async () => {
    const sealed = [...membersOf(await makeArchive(FILES)), ...membersOf(await makeArchive(FILES))]
      .filter(({ name }) => name !== 'backup-header')
      .map(({ content }) => content.toString('hex', 16, 48));
    expect(new Set(sealed).size).toBe(sealed.length);
  });

  it('with many small files is written without a warning from Node.js', async () => {
    const warnings: string[] = [];
    const note = (warning: Error): void => void warnings.push(warning.message);
    process.on('warning', note);
    const files = Object.fromEntries(
      Array.from({ length: 60 }, (_, i) => [`vm${i}/notes.txt`, `notes ${i}`]),
    );
    const { paths } = await readAll(await makeArchive(files), PASSPHRASE);
    process.off('warning', note);
    expect([...paths]).toEqual(Object.keys(files));
    expect(warnings).toEqual([]);
  });

  it('is not written if its qubes.xml is larger than the official tools accept', async () => {
    const options = { partSize: 4 * 2 ** 20 };
    await expect(makeArchive({ 'qubes.xml': noise(2 ** 20) }, options)).rejects.toThrow(
      FailedError,
    );
    await expect(makeArchive({ 'qubes.xml': noise(1_000_000) }, options)).resolves.toBeDefined();
  });
});
