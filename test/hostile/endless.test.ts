import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { cleanUpAfterFile } from '../clean-up-after-file.ts';
import { fixture, expectedOfFixtures } from '../archive/official-archives.ts';
import { Box } from '../cli/box.ts';
import { expectTameOutput, runCoffer } from './arena.ts';

/** A storage that sends an endless stream: the beginning of a genuine backup, then members without end. */
const PROGRAM = join(import.meta.dirname, 'endless.mjs');
const cleanUp = cleanUpAfterFile();
let box: Box;
let backup: string;
beforeAll(async () => {
  const full = await Box.full(cleanUp);
  backup = full.fileOf(full.backUp(['-x', 'debian']));
  box = await Box.empty(cleanUp);
});

/** Runs these commands on the stream: each must soon refuse it, and leave nothing behind. */
async function expectRefused(
  [backup, behind, kind]: readonly [string, string, string],
  secret: readonly string[],
  commands: readonly (readonly string[])[],
): Promise<void> {
  const before = box.state;
  const command = `node ${PROGRAM} ${backup} ${behind} "${kind}"`;
  for (const [name = '', ...qubes] of commands) {
    const flags = name === 'restore' ? ['-y', '--ignore-missing', '--skip-dom0-home'] : [];
    const storage = ['-d', 'usb', ...secret, '--command', command];
    const bout = await runCoffer(box, [name, ...flags, ...storage, ...qubes]);
    expect(bout.status, bout.stdout + bout.stderr).toBe(3);
    expect(bout.stderr).toMatch(/^(coffer|warning): .*(backup|damaged)/m);
    expectTameOutput(bout);
    expect(box.state).toBe(before);
  }
}

/** `list` only reads the list of VMs. */
const listOf = (kind: string): string[][] => (kind.includes('list of VMs') ? [['list']] : []);

describe('an endless stream in the format coffer-1', () => {
  it.each([
    ['qubes.xml', 'files of nobody'],
    ['qubes.xml', 'parts of nobody'],
    ['qubes.xml', 'files of a VM'],
    ['qubes.xml', 'parts of a VM'],
    ['qubes.xml', 'more list of VMs'],
    ['data', 'the same part'],
    ['data', 'parts of volumes'],
    ['qubes.xml', 'zeros'],
    ['manifest', 'files of nobody'],
    ['manifest', 'the same part'],
  ])('is refused soon and with little memory: after %s, %s', async (behind, kind) => {
    await expectRefused([backup, behind, kind], box.secret, [
      ['verify', 'work'],
      ['restore', 'vault'],
      ...listOf(kind),
    ]);
  });
});

describe.each([
  [
    'qubes4-gzip',
    [
      'sealed files of nobody',
      'sealed files of a VM',
      'large parts of nobody',
      'more sealed list of VMs',
    ],
  ],
  [
    'qubes3-encrypted',
    ['files of nobody', 'parts of nobody', 'old files of a VM', 'more list of VMs'],
  ],
  ['qubes2-encrypted', ['files of nobody']],
] as const)('an endless stream that begins like %s', (name, kinds) => {
  it.each(kinds)('is refused soon and with little memory: %s', async (kind) => {
    const [official, secret] = [join(box.directory, name), join(box.directory, 'official')];
    writeFileSync(official, fixture(`${name}.backup`));
    writeFileSync(secret, `${expectedOfFixtures().passphrase}\n`);
    const restore = kind === kinds[0] ? [['restore']] : [];
    const commands = [['verify'], ...restore, ...listOf(kind)];
    await expectRefused([official, 'qubes.xml', kind], ['-p', secret], commands);
  });
});
