import { describe, expect, it } from 'vitest';
import { drain } from '../../../dom0-agent/archive/drain.ts';
import { contentOf } from '../content-of.ts';
import { openArchive } from '../../../dom0-agent/archive/open-archive.ts';
import { DamagedError, RefusedError } from '../../../shared/errors.ts';
import { inputOf } from '../memory.ts';
import { LYING_MAPS, LYING_PARTS } from './lies.ts';
import { type Lies, resealed } from './reseal.ts';
import { PASSPHRASE, makeArchive, never } from './sample.ts';

/** Authentic backups with false contents, made by an attacker with the key or by a bug in coffer. */
const archive = await makeArchive({ 'vm5/private.img': Buffer.alloc(200_000, 'x') });

async function read(lies: Lies, seekable: boolean): Promise<void> {
  const bytes = await resealed(archive, lies);
  const reader = await openArchive(inputOf(bytes, seekable), Buffer.from(PASSPHRASE), never);
  await reader.qubesXml();
  for await (const file of reader.files(() => true)) await drain(contentOf(file));
}

const cases = (
  name: string,
  lies: readonly (readonly [string, (text: string) => string])[],
): [string, Lies][] => lies.map(([what, lie]) => [what, { [name]: lie }]);

const replacing =
  (from: RegExp, to: string) =>
  (text: string): string => {
    expect(text).toMatch(from);
    return text.replace(from, to);
  };

const TABLES: readonly (readonly [string, (text: string) => string])[] = [
  ['lacks a part', replacing(/^part .*\n/m, '')],
  ['has a part of another size', replacing(/^part (\d)/m, 'part 1$1')],
  ['has a part with another number of chunks', replacing(/^(part \d+) 2 /m, '$1 1 ')],
];

const MANIFESTS: readonly (readonly [string, (text: string) => string])[] = [
  ['is of another series', replacing(/^series ./m, 'series x')],
  ['does not list a member', replacing(/^member qubes.*\n/m, '')],
  ['counts one part too many', replacing(/^parts 2 /m, 'parts 3 ')],
  ['counts another number of bytes', replacing(/^total (\S+ \S+) .*$/m, 'total $1 7')],
];

describe.each([
  ['read as a file', true],
  ['read as a stream', false],
])('an authentic backup %s', (_, seekable) => {
  it('is accepted if nothing was changed', async () => {
    await expect(read({}, seekable)).resolves.toBeUndefined();
  });

  it.each(cases('vm5/private.map.000', LYING_MAPS))('is refused if its map %s', async (_, lies) => {
    await expect(read(lies, seekable)).rejects.toThrow(DamagedError);
  });

  it.each(cases('parts.000', TABLES))('is refused if its table of parts %s', async (_, lies) => {
    await expect(read(lies, seekable)).rejects.toThrow(DamagedError);
  });

  it.each(cases('manifest.000', MANIFESTS))('is refused if its manifest %s', async (_, lies) => {
    await expect(read(lies, seekable)).rejects.toThrow(DamagedError);
  });

  it('is refused if a chunk does not match the digest in the map', async () => {
    const lie = (text: string): string => `${text.slice(0, -1)}y`;
    await expect(read({ 'data.000': lie }, seekable)).rejects.toThrow(DamagedError);
  });
});

describe('an authentic file of a series that is not a backup', () => {
  it.each([
    ['data', 'this file is not a backup: it holds data that backups of its series refer to'],
    ['pack', 'this file is not a backup: it holds what backups of its series need of files'],
  ])('is refused with an error that describes its kind: %s', async (kind, sentence) => {
    const lie = (text: string): string =>
      text.replace('kind=backup', `kind=${kind}`).replace('streamable=True', 'streamable=False');
    for (const seekable of [true, false]) {
      const reading = read({ 'backup-header': lie }, seekable);
      await expect(reading).rejects.toThrow(RefusedError);
      await expect(reading).rejects.toThrow(sentence);
    }
  });
});

describe('an authentic stream', () => {
  it.each(cases('data.001', LYING_PARTS))('is refused if a part %s', async (_, lies) => {
    await expect(read(lies, false)).rejects.toThrow(DamagedError);
  });
});
