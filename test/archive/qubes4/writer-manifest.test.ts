import { describe, expect, it } from 'vitest';
import { contentOf } from '../content-of.ts';
import { DamagedError, WrongPassphraseError } from '../../../shared/errors.ts';
import {
  type OuterMemberBlocks,
  archiveOf,
  inputOf,
  membersOf,
  noise,
  open,
  readAll,
} from '../official-archives.ts';
import { makeQubes4 } from './make-qubes4.ts';
import { PASSPHRASE, makeArchive } from './write-sample.ts';

const FILES = {
  'vm5/private.img': noise(50_000),
  'vm6/private.img': noise(20_000, 'other'),
  'vm7/empty': '',
};
const archive = await makeArchive(FILES);
const members = membersOf(archive);
const names = members.map(({ name }) => name);

function outcome(changed: readonly OuterMemberBlocks[], wanted = true): Promise<unknown> {
  return read(archiveOf(changed), wanted).then(
    () => 'read',
    (error: unknown) => error,
  );
}

async function read(bytes: Buffer, wanted: boolean): Promise<void> {
  const reader = await open(inputOf(bytes, true), PASSPHRASE);
  await reader.qubesXml();
  for await (const file of reader.files(() => wanted)) {
    for await (const chunk of contentOf(file)) expect(chunk.length).toBeGreaterThan(0);
  }
}

const without = (name: string): OuterMemberBlocks[] => members.filter((each) => each.name !== name);

describe('the manifest of a format 4 archive', () => {
  it('is verified, whether the files are read or skipped', async () => {
    expect(await outcome(members)).toBe('read');
    expect(await outcome(members, false)).toBe('read');
  });

  it.each(names.slice(3))('detects that %s is missing', async (name) => {
    expect(await outcome(without(name))).toBeInstanceOf(DamagedError);
    expect(await outcome(without(name), false)).toBeInstanceOf(DamagedError);
  });

  it('detects that the archive ends early, after any member', async () => {
    for (let kept = 3; kept < members.length; kept++) {
      expect(await outcome(members.slice(0, kept))).toBeInstanceOf(DamagedError);
    }
  });

  it('detects that files are in another order, or come after the manifest', async () => {
    const [first, last] = [names.indexOf('vm7/empty.000.enc'), names.length - 1];
    const inFront = [...members.slice(0, 3), ...members.slice(first, last)];
    const others = members.slice(3).filter((member) => !inFront.includes(member));
    expect(await outcome([...inFront, ...others])).toBeInstanceOf(DamagedError);
    const behind = [...without('vm7/empty.000.enc'), ...members.slice(first, last)];
    expect(await outcome(behind)).toBeInstanceOf(DamagedError);
  });

  it('detects that a file was added, even one that is skipped', async () => {
    const [stranger] = membersOf(await makeArchive({ 'vm9/private.img': 'x' })).slice(3);
    if (stranger === undefined) throw new Error('no stranger');
    const changed = [...members.slice(0, -1), stranger, ...members.slice(-1)];
    expect(await outcome(changed, false)).toBeInstanceOf(DamagedError);
  });

  it('cannot be removed together with the line in the header that announces it', async () => {
    const [header, ...rest] = members.slice(0, -1);
    if (header === undefined) throw new Error('no header');
    const text = header.content.toString().replace('coffer-manifest=True\n', '');
    const blocks = Buffer.from(header.blocks);
    blocks.fill(0, 512).write(text, 512);
    // The size, and the sum of the block that holds it.
    blocks.write(`${text.length.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
    blocks.write('        ', 148, 'latin1');
    const sum = blocks.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    blocks.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    const downgraded = await outcome([{ ...header, blocks }, ...rest]);
    expect(downgraded).toBeInstanceOf(DamagedError);
    expect(downgraded).not.toBeInstanceOf(WrongPassphraseError);
  });

  it('is not required in archives that the official tools wrote', async () => {
    const official = makeQubes4({ files: FILES, passphrase: PASSPHRASE });
    expect((await readAll(official, PASSPHRASE)).files.size).toBe(3);
  });
});
