import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import {
  WorkDirectory,
  expectedOfFixtures,
  fixture,
  sha256,
} from '../archive/official-archives.ts';

/**
 * The commands of Qubes' page "Emergency Backup Recovery without Qubes" for R2, step by step, for the
 * VM that is called vm1 on the page and vm5 in the fixture. If a command would not work as the page
 * has it, a comment says why it differs.
 */
const COMMANDS = String.raw`
tar -i -xvf qubes-backup
cd vm5/
openssl dgst -sha512 -hmac "$PASSPHRASE" private.img.000
cat private.img.000.hmac

# The page's "private.img.*" includes the .hmac files, which are not encrypted; and openssl no longer
# derives keys with MD5 by default.
for f in private.img.???; do
  openssl enc -d -md md5 -pass "pass:$PASSPHRASE" -aes-256-cbc -in $f -out $(echo $f | sed s/.img/.img.dec/)
done

# All volumes are compressed; the page only decompresses the first one.
zforce private.img.dec.*
gunzip private.img.dec.*.gz

chmod +x new-volume-script
tar --new-volume-script=./new-volume-script -xvf private.img.dec.000
`;

/** The page has "$[ $TAR_VOLUME - 1 ]", which only bash knows. */
const NEW_VOLUME_SCRIPT = String.raw`#!/bin/sh
name=${'`'}expr $TAR_ARCHIVE : '\(.*\)\..*'${'`'}
suffix=${'`'}printf %03d $(( $TAR_VOLUME - 1 ))${'`'}
echo $name.$suffix >&$TAR_FD
`;

describe("the procedure of Qubes' own page for format 2", () => {
  it('recovers the image of a fixture', () => {
    const { passphrase, backups } = expectedOfFixtures();
    using work = new WorkDirectory();
    work.write('qubes-backup', fixture('qubes2-encrypted.backup'));
    work.write('vm5/new-volume-script', NEW_VOLUME_SCRIPT);
    const { stdout, status, stderr } = spawnSync('bash', ['-e', '-c', COMMANDS], {
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
