import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import {
  WorkDirectory,
  expectedOfFixtures,
  fixture,
  sha256,
} from '../archive/official-archives.ts';

/** The document that the project was created from: how a backup of format 2 is recovered by hand. */
const SEED = fileURLToPath(new URL('../../../shared/seed/BackupRestore.md', import.meta.url));

/**
 * What must be done differently from what the document says, and why. Each replacement must apply:
 * what is not listed here is run as it is written.
 */
const DIFFERENCES: readonly [text: string, replacement: string][] = [
  // Names and passphrase are examples; the passphrase has spaces.
  ['qubes-backup-2013-12-26-123456', 'qubes-backup'],
  ['"your_passphrase"', '"$PASSPHRASE"'],
  ['pass:your_passphrase', '"pass:$PASSPHRASE"'],
  // openssl derives keys with MD5 no more, unless told to.
  ['openssl enc -d', 'openssl enc -d -md md5'],
  // The loop takes the .hmac files along, which are not encrypted; and a line's end got lost.
  ['for f in private.img.*;', 'for f in private.img.???;'],
  ['-in $f -out\n${f/', '-in $f -out ${f/'],
  // All volumes are compressed, not only the first.
  ['gunzip private.img.dec.000.gz', 'gunzip private.img.dec.*.gz'],
  // Arithmetic that sh, but for bash, does not know.
  ['$[ $TAR_VOLUME - 1 ]', '$(( $TAR_VOLUME - 1 ))'],
];

describe("the seed's procedure", () => {
  it('recovers the image of the fixture of format 2', () => {
    const { passphrase, backups } = expectedOfFixtures();
    const text = withDifferences(readFileSync(SEED, 'utf8'));
    const prompted = [...text.matchAll(/^ *\[user@restore [^\]]*\]\$ (.*)$/gm)].map(([, c]) => c);
    const loop = /^> for f in .*?^> done$/ms.exec(text)?.[0].replace(/^> /gm, '');
    const script = /^ *#!\/bin\/sh\n.*?TAR_FD$/ms.exec(text)?.[0].replace(/^ +/gm, '');
    const unpack = /`(tar --new-volume-script=[^`]*)`/.exec(text)?.[1];

    const [untar, cdVm, digest, showMac, , zforce, gunzip] = prompted;
    using work = new WorkDirectory();
    work.write('qubes-backup', fixture('qubes2-encrypted.backup'));
    work.write('vm5/new-volume-script', script ?? '');
    const commands = [
      untar,
      // The document's only VM is vm1.
      cdVm?.replace('vm1', 'vm5'),
      digest,
      showMac,
      loop,
      zforce,
      gunzip,
      'chmod +x new-volume-script',
      unpack,
    ];
    const { stdout, status, stderr } = spawnSync('bash', ['-e', '-c', commands.join('\n')], {
      cwd: work.path,
      env: { ...process.env, PASSPHRASE: passphrase },
      encoding: 'utf8',
    });

    expect({ status, stderr }).toMatchObject({ status: 0 });
    const macs = [...stdout.matchAll(/= ([0-9a-f]{128})$/gm)].map(([, mac]) => mac);
    expect(macs).toHaveLength(2);
    expect(macs[0]).toBe(macs[1]);
    const image = work.take('vm5/vm5/private.img');
    expect(sha256(image)).toBe(backups['qubes2-encrypted.backup']?.['work']?.['private.img']);
  });
});

function withDifferences(seed: string): string {
  let text = seed.replace('-in $f -out\n> ${f/', '-in $f -out\n${f/');
  for (const [old, replacement] of DIFFERENCES) {
    if (!text.includes(old)) throw new Error(`the seed does not say: ${old}`);
    text = text.replaceAll(old, () => replacement);
  }
  return text;
}
