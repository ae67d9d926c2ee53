import { randomBytes } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KiB, MiB } from '../../shared/sizes.ts';
import { Box, PASSPHRASE } from '../cli/box.ts';
import { Recovery, SHELLS } from './script.ts';

const CHUNK = 128 * KiB;
/** A part of 32 chunks; of another state of the volume it has the first 20, of a third one the last 12. */
const [part, otherEnd, otherBeginning] = [32, 12, 20].map((chunks) => randomBytes(chunks * CHUNK));
/** What all states have, and only the first one has. */
const [same, more] = [randomBytes(16 * MiB), randomBytes(8 * MiB)];
if (part === undefined || otherEnd === undefined || otherBeginning === undefined) {
  throw new Error('three');
}
const last = Buffer.concat([
  otherBeginning,
  part.subarray(20 * CHUNK),
  same,
  Buffer.alloc(8 * MiB),
]);

describe('recover.sh, from two packs that each have some chunks of the same part,', () => {
  const rubbish: (() => unknown)[] = [];
  let box: Box;

  // A prune breaks off after it has made a pack, since another machine has stored a backup meanwhile. That needs other
  // chunks, which the next prune puts into another pack.
  beforeAll(async () => {
    box = await Box.full((remove) => rubbish.push(remove), 'dom0');
    const image = join(box.directory, 'appvms/vault/private.img');
    const prune = (system: string, place: string): void => {
      const words = [...box.secret, '-y', '--keep-last', '1', place];
      const run = box.bare(['prune', '--system', system, ...words]);
      expect(run.status, run.stderr).toBe(0);
    };
    const backUp = (): void => {
      const run = box.coffer(['backup', ...box.secret, '-y', box.backups, 'vault']);
      expect(run.status, run.stderr).toBe(0);
    };
    writeFileSync(image, Buffer.concat([part, same, more]));
    backUp();
    const second = [part.subarray(0, 20 * CHUNK), otherEnd, same, Buffer.alloc(8 * MiB)];
    writeFileSync(image, Buffer.concat(second));
    backUp();
    const copy = mkdtempSync(join(tmpdir(), 'coffer-packs-'));
    rubbish.push(() => rmSync(copy, { recursive: true }));
    cpSync(box.directory, copy, { recursive: true });
    const there = join(copy, relative(box.directory, box.backups));
    prune(copy, there);
    writeFileSync(image, last);
    backUp();
    const [pack = ''] = readdirSync(there).filter((name) => name.startsWith('qubes-pack-'));
    copyFileSync(join(there, pack), join(box.backups, 'qubes-pack-first'));
    prune(box.directory, box.backups);
  });
  afterAll(async () => {
    for (const remove of rubbish.splice(0)) await remove();
  });

  it.each(SHELLS)('recovers a volume that needs both (%s)', (shell) => {
    const files = readdirSync(box.backups).sort();
    expect(files).toEqual([
      expect.stringMatching(/^qubes-backup-/),
      expect.stringMatching(/^qubes-pack-/),
      expect.stringMatching(/^qubes-pack-/),
    ]);
    const [backup = '', ...packs] = files.map((name) => readFileSync(join(box.backups, name)));
    using recovery = new Recovery(Buffer.from(backup), shell);
    recovery.passphrase(PASSPHRASE);
    for (const [i, pack] of packs.entries()) recovery.write(`pack ${i}`, pack);
    expect(recovery.recover('vault')).toMatchObject({ status: 0, stderr: '' });
    const [path = ''] = recovery.recovered().filter((name) => name.endsWith('private.img'));
    expect(recovery.read(path).equals(last)).toBe(true);
  });
});
