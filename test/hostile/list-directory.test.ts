import { beforeAll, describe, expect, it } from 'vitest';
import { cleanUpAfterFile } from '../clean-up-after-file.ts';
import type { Entry } from '../../protocol/messages.ts';
import { Box } from '../cli/box.ts';
import { Arena, type Bout, expectNamedError, expectTameOutput } from './arena.ts';
import type { Step } from './script.ts';
import { ESCAPES, failure, field, framed, opened, ready, validFrame } from './wire.ts';

/** A storage VM that is hostile while its directory is listed. */
let arena: Arena;
let before: string;
const cleanUp = cleanUpAfterFile();
beforeAll(async () => {
  arena = await Arena.open(await Box.full(cleanUp));
  before = arena.box.state;
});

/** Without the NUL, which cannot be in a name. */
const escapes = ESCAPES.replaceAll('\0', '');
const file = (name: string, size = 1000): Entry => ({ name, kind: 'FILE', size });
const listing = (...entries: Entry[]): Step[] => [
  { hear: 'browseRequest' },
  { say: validFrame(ready()) },
  { say: validFrame({ kind: 'entries', entries, last: true, truncated: false }) },
  { end: 0 },
];
const READY: Step[] = [{ hear: 'fetchRequest' }, { say: validFrame(ready()) }];
/** The steps before a file is given; two files are asked for, one after the other. */
const GIVEN: Step[] = [...[{ hear: 'open' }, { say: validFrame(opened(1000)) }], { hear: 'want' }];
const LACKS: Step = {
  say: validFrame({ kind: 'lacks', code: 'NOT_FOUND', message: ESCAPES }),
};
const GARBAGE: Step = {
  say: validFrame({ kind: 'data', offset: 0, bytes: Buffer.alloc(1000, 'garbage') }),
};

/** `coffer list backups`, which is a directory. */
async function list(Browse: Step[], Fetch: Step[] = [{ end: 1 }]): Promise<Bout> {
  const bout = await arena.fight({ Browse, Fetch }, ['list', '--no-contents', 'backups']);
  expect(arena.box.state).toBe(before);
  return bout;
}

describe('a storage VM whose directory is listed', () => {
  it('cannot send control characters to the terminal in names, however many', async () => {
    const names = Array.from({ length: 40 }, (_, at) => file(`${at}${escapes}${'x'.repeat(150)}`));
    const bout = await list(listing(...names, file(`qubes-backup-2026-01-01T000000${escapes}`)));
    expect(bout.status, bout.stderr).toBe(0);
    expectTameOutput(bout);
    expect(bout.stdout).toContain('Not backups: 41 other files.');
  });

  it('cannot fill the memory with long names', async () => {
    const one = { kind: 'entries', last: false, truncated: false } as const;
    const long = validFrame({ ...one, entries: [file('x'.repeat(1_000_000))] });
    const steps: Step[] = [{ hear: 'browseRequest' }, { say: validFrame(ready()) }];
    const bout = await list([...steps, { say: long, times: 1_000 }, { end: 0 }]);
    expectNamedError(bout, 4, /a name in a listing is too long/);
  });

  it('cannot fill the memory with entries, of which a message can have half a million', async () => {
    const steps: Step[] = [{ hear: 'browseRequest' }, { say: validFrame(ready()) }];
    for (const [entry, text] of [
      [Buffer.alloc(0), /no proper name/],
      [field(1, Buffer.from('a')), /too many entries/],
    ] as const) {
      const each = field(1, entry);
      const entries = Buffer.alloc(1_048_576 - (1_048_576 % each.length), each);
      const say = framed(field(9, entries));
      expectNamedError(await list([...steps, { say, times: 5 }, { end: 0 }]), 4, text);
    }
  });

  it.each(['../../../etc/passwd', '/etc/passwd', '..', 'a\0b'])(
    'cannot name a file in another directory, or use an invalid name: %j',
    async (name) => {
      expectNamedError(await list(listing(file(name))), 4, /no proper name/);
    },
  );

  it('may claim any size for a file', async () => {
    const bout = await list(
      listing(file('qubes-backup-2026-01-01T000000', Number.MAX_SAFE_INTEGER)),
    );
    expect(bout.stdout).toMatch(/qubes-backup-2026-01-01T000000 .* 8 PiB/);
    expectTameOutput(bout);
  });

  it.each([
    ['refuses it', [{ hear: 'fetchRequest' }, { say: validFrame(failure('IO', ESCAPES)) }]],
    ['ends', [{ end: 1 }]],
    [
      'breaks the protocol',
      [{ hear: 'fetchRequest' }, { say: Buffer.alloc(100, 255).toString('base64') }],
    ],
    ['gives garbage', [...READY, ...GIVEN, GARBAGE, ...GIVEN, GARBAGE]],
    ['gives nothing', [...READY, ...GIVEN, LACKS]],
    ['no longer has it', [...READY, { hear: 'open' }, LACKS, { hear: 'open' }, LACKS]],
  ] satisfies [string, Step[]][])(
    'that %s when a file is opened cannot remove files from the list',
    async (_, fetch) => {
      const names = ['qubes-backup-2026-01-01T000000', 'qubes-backup-2026-01-02T000000'];
      const bout = await list(listing(...names.map((name) => file(name))), fetch);
      expect(bout.status, bout.stderr).toBe(0);
      expectTameOutput(bout);
      for (const name of names)
        expect(bout.stdout).toMatch(new RegExp(`^${name} .*(cannot be read|not a backup)`, 'm'));
    },
  );

  it('that sends no list is named in the error', async () => {
    const bout = await list([{ hear: 'browseRequest' }, { end: 1 }]);
    expectNamedError(bout, 4, /usb/);
  });
});
