import { describe, expect, it } from 'vitest';
import { contentOf } from './content-of.ts';
import type { ArchiveReader } from '../../dom0-agent/archive/archive.ts';
import { drain } from '../../dom0-agent/archive/drain.ts';
import { openArchive } from '../../dom0-agent/archive/open-archive.ts';
import { DamagedPartError } from '../../dom0-agent/archive/parts/part-name.ts';
import { untar } from '../../dom0-agent/archive/tar/inner-reader.ts';
import { DamagedError } from '../../shared/errors.ts';
import { makeArchive as makeCoffer1, never } from './coffer1/sample.ts';
import { archiveOf, inputOf, membersOf, noise } from './official-archives.ts';
import { makeQubes3 } from './qubes3/make-qubes3.ts';
import { makeQubes4 } from './qubes4/make-qubes4.ts';

const PASSPHRASE = 'correct horse battery staple';
const files = {
  'vm5/private.img': noise(40_000),
  'vm6/private.img': noise(30_000, 'other'),
};
const official = { files, passphrase: PASSPHRASE, partSize: 10_240 };
const open = (archive: Buffer): Promise<ArchiveReader> =>
  openArchive(inputOf(archive, false), Buffer.from(PASSPHRASE), never);

/** The outcome of each file: `whole`, or the error. */
async function readEach(reader: ArchiveReader, path = ''): Promise<Map<string, unknown>> {
  await reader.qubesXml();
  const outcomes = new Map<string, unknown>();
  for await (const file of reader.files((each) => each.startsWith(path))) {
    try {
      if ('pieces' in file) await drain(file.pieces());
      else for await (const { pieces } of untar(file.innerTar, file.path)) await drain(pieces());
      outcomes.set(file.path, 'whole');
    } catch (error) {
      outcomes.set(file.path, error);
    }
  }
  return outcomes;
}

const SECOND = { path: 'vm5/private.img', index: 1 };

describe.each([
  ['coffer-1', () => makeCoffer1(files), 'data.000', { path: 'data', index: 0 }],
  ['format 4', () => makeQubes4({ ...official, logN: 10 }), 'vm5/private.img.001.enc', SECOND],
  ['format 3', () => makeQubes3({ ...official, version: 3 }), 'vm5/private.img.001', SECOND],
  ['format 2', () => makeQubes3({ ...official, version: 2 }), 'vm5/private.img.001', SECOND],
])('a stream in %s', (_, make, name, part) => {
  it('gives every file, and continues with the next one if the reader of a file ends early', async () => {
    const archive = await make();
    const whole = Object.keys(files).map((path) => [path, 'whole'] as const);
    expect(await readEach(await open(archive))).toEqual(new Map(whole));

    const reader = await open(archive);
    await reader.qubesXml();
    const seen: string[] = [];
    for await (const file of reader.files(() => true)) {
      seen.push(file.path);
      const chunks = contentOf(file);
      await chunks.next();
      await chunks.return();
    }
    expect(seen).toEqual(Object.keys(files));
  });

  it('continues even if the reader of a file stops without ending', async () => {
    const reader = await open(await make());
    await reader.qubesXml();
    const seen: string[] = [];
    for await (const file of reader.files(() => true)) {
      seen.push(file.path);
      await contentOf(file).next();
    }
    expect(seen).toEqual(Object.keys(files));
  });

  it('names the damaged part of a file, and gives the others completely', async () => {
    const members = membersOf(await make());
    const content = members.find((each) => each.name === name)?.content;
    if (content === undefined) throw new Error(`there is no ${name}`);
    content[200] = (content[200] ?? 0) ^ 1;
    const outcomes = await readEach(await open(archiveOf(members)));
    expect(outcomes.get('vm5/private.img')).toBeInstanceOf(DamagedPartError);
    expect(outcomes.get('vm5/private.img')).toMatchObject(part);
    expect(outcomes.get('vm6/private.img')).toBe('whole');
    // The damaged file was not asked for, and is skipped.
    const others = await readEach(await open(archiveOf(members)), 'vm6');
    expect(others).toEqual(new Map([['vm6/private.img', 'whole']]));
  });

  it('ends if parts are missing, whatever the reader of the file does with the error', async () => {
    const members = membersOf(await make()).filter((each) => !each.name.startsWith(name));
    await expect(readEach(await open(archiveOf(members)))).rejects.toThrow(DamagedError);
    await expect(readEach(await open(archiveOf(members)), 'vm6')).rejects.toThrow(DamagedError);
  });
});
