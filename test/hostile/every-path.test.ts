import { createHash } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { cleanUpAfterFile } from '../clean-up-after-file.ts';
import type { Qube } from '../../dom0-agent/qubes/qube.ts';
import { BARE_STORE } from '../../dom0-agent/qubes/sandbox/sample-qubes.ts';
import { backupQubesXml } from '../../dom0-agent/qubes/xml/backup-qubes-xml.ts';
import { CofferError, ExitStatus } from '../../shared/errors.ts';
import { makeArchive } from '../archive/coffer1/sample.ts';
import { noise } from '../archive/official-archives.ts';
import { makeQubes3 } from '../archive/qubes3/make-qubes3.ts';
import { makeQubes4 } from '../archive/qubes4/make-qubes4.ts';
import { OLD_FORGERIES, OTHER_VOLUME, VOLUME } from '../recovery/old-forgeries.ts';
import { qube } from '../restore/planning.ts';
import {
  emptySystem,
  hashesOf,
  listArchive,
  restoreArchive,
  verifyArchive,
} from '../restore/restoring-system.ts';
import { FORGERIES } from './forgeries.ts';
import { assemble, piecesOf } from './splices.ts';

/**
 * Every forgery on every path of coffer's own: list, verify and restore, from a file, in which coffer seeks,
 * and from a stream; in every format. The built program is tried in forgery.test.ts, recover.sh and the page
 * in test/recovery/forgery.test.ts.
 */

// Each key is derived only once, by the real code.
vi.mock('../../dom0-agent/archive/coffer1/keys.ts', async (importOriginal) => {
  const keys = await importOriginal<typeof import('../../dom0-agent/archive/coffer1/keys.ts')>();
  const derived = new Map<string, ReturnType<typeof keys.deriveRootKey>>();
  const deriveRootKey: typeof keys.deriveRootKey = (passphrase, salt, cost) => {
    const id = JSON.stringify([passphrase.toString('hex'), salt.toString('hex'), cost]);
    const root = derived.get(id) ?? keys.deriveRootKey(passphrase, salt, cost);
    derived.set(id, root);
    return root;
  };
  return { ...keys, deriveRootKey };
});

const PASSPHRASE = 'correct horse battery staple';
const CONTENT = noise(25_000, 'new');
const OTHER = noise(25_000, 'other');
const OLD = noise(25_000, 'old');
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** The VMs of the backups, by name, with the content of each one's volume. */
const GENUINE = { work: CONTENT, mail: OTHER };

/** A system without these VMs. A refused archive leaves it unchanged, so that it can be used again. */
const cleanUp = cleanUpAfterFile();
let target: ReturnType<typeof emptySystem> | undefined;

/** Checks that coffer, on each path, refuses an archive or finds the original content in it. */
async function expectRefusedOrGenuine(archive: Buffer, statuses: readonly number[]): Promise<void> {
  for (const seekable of [true, false]) {
    const how = seekable ? 'as a file' : 'as a stream';
    const listed = await outcomeOf(listArchive(archive, PASSPHRASE, seekable), statuses);
    if (listed !== 'refused') expect(listed, `list ${how}`).toEqual(Object.keys(GENUINE));

    target ??= emptySystem(cleanUp);
    const { directory, system } = await target;
    const before = await system.qubes();
    const restored = await outcomeOf(
      restoreArchive(archive, PASSPHRASE, system, {}, seekable),
      statuses,
    );
    const verified = await outcomeOf(verifyArchive(archive, PASSPHRASE, seekable), statuses);
    if (restored === 'refused') {
      expect(await system.qubes(), `restore ${how}`).toEqual(before);
      // verify continues with the other VMs, and says which are intact.
      const isWhole =
        verified !== 'refused' && verified.every(({ result }) => result === 'verified');
      expect(isWhole, `verify ${how}`).toBe(false);
    } else {
      target = undefined;
      for (const [name, content] of Object.entries(GENUINE)) {
        const hashes = await hashesOf(directory, system, name);
        expect(hashes, `restore ${how}`).toEqual({ 'private.img': sha256(content) });
      }
    }
  }
}

async function outcomeOf<T>(step: Promise<T>, statuses: readonly number[]): Promise<T | 'refused'> {
  try {
    return await step;
  } catch (error) {
    expect(error).toBeInstanceOf(CofferError);
    expect(statuses, String(error)).toContain((error as CofferError).exitStatus);
    return 'refused';
  }
}

const volume = { name: 'private', size: 25_000, usage: undefined, pool: '', vid: '' };
const appVm = (name: string, qid: number): Qube =>
  qube(name, { template: 'debian-13' }, { qid, volumes: [{ ...volume, saveOnStop: true }] });

function qubesXml(): string {
  const [dom0] = BARE_STORE.qubes;
  if (dom0 === undefined) throw new Error('the bare store has no dom0');
  return backupQubesXml({
    ...{ created: new Date(0), dom0, dom0Home: undefined },
    qubes: [
      { qube: appVm('work', 5), directory: 'vm5', size: 25_000 },
      { qube: appVm('mail', 6), directory: 'vm6', size: 25_000 },
    ],
  });
}

const R3_QUBES_XML = `<QubesVmCollection default_netvm="None">
  <QubesTemplateVm qid="9" name="debian-13" label="black"/>
  <QubesAppVm qid="5" name="work" label="green" template_qid="9" backup_content="True" backup_path="vm5"/>
  <QubesAppVm qid="6" name="mail" label="green" template_qid="9" backup_content="True" backup_path="vm6"/>
  <QubesAdminVm qid="0" name="dom0"/></QubesVmCollection>`;

describe('without the key, list, verify and restore cannot be made to accept as coffer-1', async () => {
  const backup = async (content: Buffer, options: Parameters<typeof makeArchive>[1] = {}) => {
    const files = {
      'qubes.xml': Buffer.from(qubesXml()),
      [VOLUME]: content,
      [OTHER_VOLUME]: OTHER,
    };
    return piecesOf(await makeArchive(files, { compressionFilter: 'zstd', ...options }));
  };
  const backups = {
    older: await backup(OLD),
    newer: await backup(CONTENT),
    open: await backup(OLD, { encrypted: false }),
    foreign: await backup(OLD, { passphrase: Buffer.from('another') }),
  };

  it('anything but the genuine backup, which it accepts', async () => {
    const archive = await assemble(backups.newer);
    await expectRefusedOrGenuine(archive, []);
  });

  it.each(FORGERIES)('%s', async (_, forge) => {
    await expectRefusedOrGenuine(await assemble(forge(backups)), [ExitStatus.damaged]);
  });
});

describe.each([
  ['format 2', 2, { cipher: 'aes-256-cbc', filter: ['gzip', 'gzip'] }],
  ['format 3', 3, { cipher: 'aes-256-cbc', filter: ['gzip', 'gzip'] }],
  ['format 3, not encrypted', 3, {}],
  ['format 4', 4, {}],
] as const)(
  'without the key, list, verify and restore cannot be made to accept as %s',
  (_, version, options) => {
    const make = (content: Buffer, passphrase: string): Buffer => {
      const xml = version === 4 ? qubesXml() : R3_QUBES_XML;
      const files = { 'qubes.xml': xml, [VOLUME]: content, [OTHER_VOLUME]: OTHER };
      const recipe = { ...options, files, passphrase, partSize: 10_240 };
      return version === 4 ? makeQubes4(recipe) : makeQubes3({ ...recipe, version });
    };
    const genuine = make(CONTENT, PASSPHRASE);
    const seen = { version, pieces: piecesOf(genuine), foreign: piecesOf(make(OLD, 'another')) };

    it('anything but the genuine backup, which it accepts', async () => {
      await expectRefusedOrGenuine(genuine, []);
    });

    it.each(OLD_FORGERIES)('%s', async (_, forge) => {
      // A header that asks for something that coffer does not support is not damage, but is refused, too.
      await expectRefusedOrGenuine(await assemble(forge(seen)), [
        ExitStatus.damaged,
        ExitStatus.failed,
      ]);
    });
  },
);
