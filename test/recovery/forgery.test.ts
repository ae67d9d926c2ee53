import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { WorkDirectory, noise } from '../archive/official-archives.ts';
import { makeQubes3 } from '../archive/qubes3/make-qubes3.ts';
import { makeQubes4 } from '../archive/qubes4/make-qubes4.ts';
import { FORGERIES } from '../hostile/forgeries.ts';
import { type Piece, assemble, piecesOf } from '../hostile/splices.ts';
import { PASSPHRASE, coffer1Backup, smallFile } from './backups.ts';
import { followPage } from './document.ts';
import { OLD_FORGERIES, OTHER_VOLUME, VOLUME } from './old-forgeries.ts';
import { Recovery, SHELLS } from './script.ts';

/** The content of the backup that the attacker changes, which has about three parts. */
const CONTENT = noise(25_000, 'new');
const OTHER = noise(25_000, 'other');
const OLD = noise(25_000, 'old');

/** Checks that following the page yields the original content or nothing, and has no other effect. */
async function expectPageHolds(
  archive: Buffer,
  section: string,
  content: Buffer,
  shells: readonly string[] = SHELLS,
): Promise<void> {
  await Promise.all(
    shells.map(async (shell) => {
      using work = new WorkDirectory();
      work.write('.bashrc', 'honest');
      const reader = { section, backup: archive, file: VOLUME, passphrase: PASSPHRASE, shell };
      const { stdout, stderr } = await followPage(work, { ...reader, heedless: true });
      expect(work.has('PWNED'), `${shell}: ${stderr}`).toBe(false);
      expect(work.take('.bashrc').toString()).toBe('honest');
      if (work.has(`recovery/${VOLUME}`)) {
        expect(work.take(`recovery/${VOLUME}`).equals(content), shell).toBe(true);
      } else {
        expect(stderr, shell).toContain('*** STOP: ');
        expect(stdout, shell).not.toContain('is recovered');
      }
    }),
  );
}

const headerOf = (pieces: readonly Piece[]): string | undefined =>
  pieces.find(({ name }) => name === 'backup-header')?.content.toString();

/**
 * The shells for the page: all of them if the header is forged, as each shell reads it in its own way. Otherwise the page
 * only sees that a MAC is wrong or that something is missing, and one shell, by turns, is enough.
 */
function shellsForPage(
  forged: readonly Piece[],
  genuine: readonly (readonly Piece[])[],
  turn: number,
): string[] {
  const isGenuine = genuine.map(headerOf).includes(headerOf(forged) ?? 'none');
  return isGenuine ? [inTurn(turn)] : SHELLS;
}

function inTurn(turn: number): string {
  return SHELLS[turn % SHELLS.length] ?? 'dash';
}

async function expectScriptRefuses(archive: Buffer, shells = SHELLS): Promise<void> {
  await Promise.all(
    shells.map(async (shell) => {
      using recovery = new Recovery(archive, shell);
      const { status, stderr } = await recovery.recoverMeanwhile();
      expect([1, 3], `${shell}: ${stderr}`).toContain(status);
      expect(stderr).toMatch(/^(recover\.sh: [\x20-\x7e]+\n)+$/);
      // The list of VMs comes first and may be genuine.
      const recovered = recovery.recovered().filter((file) => file !== 'qubes.xml');
      expect(recovered, shell).toEqual([]);
      expect(recovery.leftovers(), shell).toEqual([]);
    }),
  );
}

const volumes = (content: Buffer) => [smallFile(VOLUME, content), smallFile(OTHER_VOLUME, OTHER)];
const madeOf = async (...args: Parameters<typeof coffer1Backup>) =>
  piecesOf(await coffer1Backup(...args));
const backups = {
  older: await madeOf(volumes(OLD)),
  newer: await madeOf(volumes(CONTENT)),
  open: await madeOf(volumes(OLD), { encrypted: false }),
  foreign: await madeOf(volumes(OLD), { passphrase: Buffer.from('another') }),
};

describe('without the key, recover.sh and the page cannot be made to accept as coffer-1', () => {
  const inOrder = FORGERIES.map(([what, forge], turn) => ({ what, forge, turn }));
  it.each(inOrder)('$what', async ({ forge, turn }) => {
    const forged = forge(backups);
    const archive = await assemble(forged);
    const shells = shellsForPage(forged, Object.values(backups), turn);
    await expectPageHolds(archive, 'coffer-1', CONTENT, shells);
    await expectScriptRefuses(archive);
  });

  it('links and programs with the names of files that the page uses', async () => {
    await expectPageHolds(withPlants(await assemble(backups.newer)), 'coffer-1', CONTENT);
    await expectScriptRefuses(withPlants(await assemble(backups.newer)));
  });
});

describe.each([
  ['Format 2', 2, { cipher: 'aes-256-cbc', filter: ['gzip', 'gzip'] }],
  ['Format 3', 3, { cipher: 'aes-256-cbc', filter: ['gzip', 'gzip'] }],
  ['Format 3, not encrypted', 3, {}],
  ['Format 4', 4, { filter: ['gzip', 'gzip'] }],
] as const)(
  'without the key, the page cannot be made to accept as %s',
  (title, version, options) => {
    const section = title.replace(/,.*/, '');
    const make = (content: Buffer, passphrase: string): Buffer => {
      const files = { [VOLUME]: content, [OTHER_VOLUME]: OTHER };
      const recipe = { ...options, files, passphrase, partSize: 10_240 };
      return version === 4 ? makeQubes4(recipe) : makeQubes3({ ...recipe, version });
    };
    const genuine = make(CONTENT, PASSPHRASE);
    const seen = { version, pieces: piecesOf(genuine), foreign: piecesOf(make(OLD, 'another')) };

    it('anything but the genuine backup, which it accepts', async () => {
      for (const shell of SHELLS) {
        using work = new WorkDirectory();
        const reader = { section, backup: genuine, file: VOLUME, passphrase: PASSPHRASE, shell };
        const { stderr } = await followPage(work, { ...reader, heedless: true });
        expect(work.has(`recovery/${VOLUME}`), stderr).toBe(true);
        expect(work.take(`recovery/${VOLUME}`).equals(CONTENT)).toBe(true);
      }
    });

    const inOrder = OLD_FORGERIES.map(([what, forge, claimed], i) => ({
      ...{ what, forge, claimed, turn: i + version },
    }));
    it.each(inOrder)('$what', async ({ forge, claimed, turn }) => {
      const forged = forge(seen);
      const archive = await assemble(forged);
      const shells = shellsForPage(forged, [seen.pieces, seen.foreign], turn);
      for (const follow of new Set([section, claimed ?? section])) {
        await expectPageHolds(archive, follow, CONTENT, shells);
      }
      // recover.sh refuses it by its header: one shell, by turns, is enough.
      await expectScriptRefuses(archive, [inTurn(version)]);
    });

    it('links and programs with the names of files that the page uses', async () => {
      await expectPageHolds(withPlants(genuine), section, CONTENT);
    });
  },
);

/** The archive with links out of the page's directory, and programs with the names that it calls, before and after it. */
function withPlants(archive: Buffer): Buffer {
  using work = new WorkDirectory();
  const names =
    'member stated stream stored manifest authentic opened decrypted unpacked volumes failed next-volume'.split(
      ' ',
    );
  for (const name of names) symlinkSync('../.bashrc', join(work.path, name));
  symlinkSync('..', join(work.path, 'vm5'));
  const programs = ['openssl', 'tar', 'gzip', 'zstd', 'awk', 'cat'];
  for (const program of programs) work.write(program, '#!/bin/sh\ntouch "$HOME/PWNED"\n');
  const plants = work.run('tar', ['-cf', '-', 'vm5', ...names, ...programs]);
  return Buffer.concat([plants, archive, plants]);
}
