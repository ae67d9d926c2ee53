import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { openArchive } from '../../../dom0-agent/archive/open-archive.ts';
import { DamagedError, WrongPassphraseError } from '../../../shared/errors.ts';
import { type InnerTars, innerTarsOf, readNothingElse } from '../authentic-prefix.ts';
import { inputOf } from '../memory.ts';
import { GRAIN, PASSPHRASE, makeArchive, never } from './sample.ts';

// Thousands of damaged archives have the same salt: each key is derived only once, by the real code.
vi.mock('../../../dom0-agent/archive/coffer1/keys.ts', async (importOriginal) => {
  const keys = await importOriginal<typeof import('../../../dom0-agent/archive/coffer1/keys.ts')>();
  const derived = new Map<string, ReturnType<typeof keys.deriveRootKey>>();
  const deriveRootKey: typeof keys.deriveRootKey = (passphrase, salt, cost) => {
    const id = JSON.stringify([passphrase.toString('hex'), salt.toString('hex'), cost]);
    const root = derived.get(id) ?? keys.deriveRootKey(passphrase, salt, cost);
    derived.set(id, root);
    return root;
  };
  return { ...keys, deriveRootKey };
});

/** Every 23rd byte where there is structure, and every 9001st within the data. */
function* placesIn(bytes: Buffer): Generator<number> {
  for (let at = 0; at < bytes.length;) {
    yield at;
    // Headers are mostly zeros.
    const around = bytes.subarray(Math.max(0, at - 600), at + 600);
    const isDataOnly = around.filter((byte) => byte === 0).length < 100;
    at += isDataOnly ? 9001 : 23;
  }
}

/** A member of the outer tar with its `.hmac`, as it stands in the archive. */
interface Member {
  readonly name: string;
  readonly bytes: Buffer;
}

function membersOf(archive: Buffer): Member[] {
  const single: Member[] = [];
  for (let at = 0; at < archive.length - 1024;) {
    const name = archive.toString('latin1', at, at + 100).replace(/\0.*$/s, '');
    const size = parseInt(archive.toString('latin1', at + 124, at + 135), 8);
    const end = at + 512 + Math.ceil(size / 512) * 512;
    single.push({ name, bytes: archive.subarray(at, end) });
    at = end;
  }
  return single.flatMap(({ name, bytes }, i) => {
    const mac = single[i + 1]?.bytes ?? Buffer.alloc(0);
    return name.endsWith('.hmac') ? [] : [{ name, bytes: Buffer.concat([bytes, mac]) }];
  });
}

function archiveOf(members: readonly (Member | undefined)[]): Buffer {
  const present = members.filter((member) => member !== undefined);
  return Buffer.concat([...present.map(({ bytes }) => bytes), Buffer.alloc(1024)]);
}

/** Reads all of an archive, as a file and as a stream; both must fail, and give no forged data before that. Gives the errors. */
async function refusalsOf(archive: Buffer, passphrase = PASSPHRASE): Promise<Error[]> {
  const refusals: Error[] = [];
  for (const seekable of [true, false]) {
    try {
      const reader = await openArchive(inputOf(archive, seekable), Buffer.from(passphrase), never);
      await readNothingElse(reader, genuine);
      throw new Error(`the archive was accepted, ${seekable ? 'as a file' : 'as a stream'}`);
    } catch (error) {
      refusals.push(error as Error);
    }
  }
  return refusals;
}

async function expectDamaged(archive: Buffer, what: string): Promise<void> {
  for (const refusal of await refusalsOf(archive)) {
    const named = refusal instanceof DamagedError || refusal instanceof WrongPassphraseError;
    expect(named, `${what}: ${refusal.message}`).toBe(true);
  }
}

/** How many damaged archives are read at a time: each mostly waits for the threads that authenticate. */
const AT_ONCE = 16;

async function expectAllDamaged(damages: readonly (() => [Buffer, string])[]): Promise<void> {
  for (let done = 0; done < damages.length; done += AT_ONCE) {
    const some = damages.slice(done, done + AT_ONCE);
    await Promise.all(some.map((damage) => expectDamaged(...damage())));
  }
}

const contents = {
  'vm5/notes.txt': Buffer.from('notes'),
  'vm5/private.img': randomBytes(3 * GRAIN),
  'vm6/private.img': randomBytes(3_000),
  'vm7/private.img': Buffer.alloc(GRAIN),
  'dom0-home/home': randomBytes(1000),
};
let archive: Buffer;
let genuine: InnerTars;
let members: Member[];
beforeAll(async () => {
  archive = await makeArchive(contents);
  genuine = await innerTarsOf(
    await openArchive(inputOf(archive, true), Buffer.from(PASSPHRASE), never),
  );
  members = membersOf(archive);
});

const find = (name: string, among = members): Member => {
  const member = among.find((each) => each.name === name);
  if (member === undefined) throw new Error(`the sample has no ${name}`);
  return member;
};

describe('a damaged archive', () => {
  it('is refused if a single byte is changed, at many places', async () => {
    await expectAllDamaged(
      [...placesIn(archive)].map((at) => () => {
        const damaged = Buffer.from(archive);
        damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
        return [damaged, `byte ${at} changed`];
      }),
    );
  });

  it('is refused if it is truncated, at many places', async () => {
    await expectAllDamaged(
      [...placesIn(archive)].map((length) => () => {
        return [archive.subarray(0, length), `cut to ${length} bytes`];
      }),
    );
  });

  it('is refused if something follows it', async () => {
    await expectDamaged(Buffer.concat([archive, Buffer.alloc(512, 1)]), 'a block');
    await expectDamaged(Buffer.concat([archive, archive]), 'itself');
    await expectDamaged(Buffer.concat([archive, Buffer.from('x')]), 'a byte');
  });

  it('is refused if a member is missing, repeated or moved', async () => {
    for (const [i, member] of members.entries()) {
      const others = members.filter((each) => each !== member);
      await expectDamaged(archiveOf(others), `${member.name} missing`);
      if (i + 1 < members.length) {
        await expectDamaged(archiveOf([...others, member]), `${member.name} at the end`);
      }
      await expectDamaged(
        archiveOf([...members.slice(0, i), member, ...members.slice(i)]),
        `${member.name} doubled`,
      );
      const swapped = [...members];
      [swapped[i], swapped[i + 1]] = [swapped[i + 1] ?? member, member];
      if (i + 1 < members.length) await expectDamaged(archiveOf(swapped), `${member.name} swapped`);
    }
  });

  it('is refused if a member has the name of another', async () => {
    for (const [from, to] of [
      ['data.000', 'data.001'],
      ['vm5/private.map.000', 'vm6/private.map.000'],
      ['vm5/notes.txt.000', 'vm6/notes.txt.000'],
    ] as const) {
      const { bytes } = find(from);
      const renamed = { name: to, bytes: rename(bytes, from, to) };
      const swapped = members.map((each) => (each.name === from ? renamed : each));
      await expectDamaged(archiveOf(swapped), `${from} renamed to ${to}`);
    }
  });

  it('is refused if a member comes from another backup under the same passphrase', async () => {
    const others = membersOf(await makeArchive(contents));
    for (const { name } of members) {
      const mixed = members.map((each) => (each.name === name ? find(name, others) : each));
      await expectDamaged(archiveOf(mixed), `${name} from another backup`);
    }
  });

  it('is told apart from a wrong passphrase', async () => {
    for (const wrong of ['correct horse battery stapl', 'Correct horse battery staple', ' ']) {
      for (const refusal of await refusalsOf(archive, wrong)) {
        expect(refusal).toBeInstanceOf(WrongPassphraseError);
      }
    }
  });

  it('is refused if a setting in its header was changed', async () => {
    const change = (from: string, to: string): Buffer => {
      const header = find('backup-header');
      const text = header.bytes.toString('latin1');
      expect(text).toContain(from);
      const bytes = Buffer.from(text.replace(from, to), 'latin1');
      return archiveOf(members.map((each) => (each === header ? { ...header, bytes } : each)));
    };
    await expectDamaged(change('encrypted=True\n', 'encrypted=Fals\n'), 'not encrypted');
    await expectDamaged(change('kdf-n=16384', 'kdf-n=32768'), 'other cost');
    await expectDamaged(change('sha512', 'sha256'), 'other MAC');
    await expectDamaged(change('aes-256-ctr', 'aes-128-ctr'), 'other cipher');
    await expectDamaged(change('format=coffer-1', 'format=coffer-2'), 'other format');
    await expectDamaged(change('part-size=131072', 'part-size=262144'), 'other part size');
    await expectDamaged(change('grain=65536', 'grain=131072'), 'other grain');
    await expectDamaged(change('streamable=True\n', 'streamable=False\n'), 'not to be streamed');
  });
});

describe('a file that is not an archive', () => {
  it('is refused', async () => {
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.alloc(5_000),
      Buffer.alloc(5_000_000),
      randomBytes(5_000),
      Buffer.from('a text\n'.repeat(1000)),
    ]) {
      await expectDamaged(bytes, 'no archive');
    }
  });
});

/** The member and its `.hmac` under another name, with valid tar headers. */
function rename(bytes: Buffer, from: string, to: string): Buffer {
  const text = bytes.toString('latin1').replaceAll(from, to);
  const renamed = Buffer.from(text, 'latin1');
  for (const at of [0, renamed.length - 1024]) {
    const header = renamed.subarray(at, at + 512);
    header.fill(' ', 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  }
  return renamed;
}
