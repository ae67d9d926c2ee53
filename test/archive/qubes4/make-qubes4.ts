import { createHash } from 'node:crypto';
import { WorkDirectory, cut, numbered } from '../official-archives.ts';

/** How an archive of format 4 is made. */
export interface Qubes4Recipe {
  /** Contents by path. */
  readonly files: Readonly<Record<string, Buffer | string>>;
  readonly passphrase: string;
  /** The filter's name in the header, and the program and arguments that compress; without it, uncompressed. */
  readonly filter?: readonly [name: string, program: string, ...args: string[]];
  readonly partSize?: number;
  readonly backupId?: string;
  readonly logN?: number;
}

/** Makes an archive of format 4 as the official tools do, with tar(1) and scrypt(1). */
export function makeQubes4(recipe: Qubes4Recipe): Buffer {
  using work = new WorkDirectory();
  const { passphrase, filter, partSize = 100 * 2 ** 20, backupId = '20260101T000000-1' } = recipe;
  const header =
    `version=4\nencrypted=True\ncompressed=${filter === undefined ? 'False' : 'True'}\n` +
    `compression-filter=${filter?.[0] ?? 'gzip'}\nhmac-algorithm=scrypt\nbackup-id=${backupId}\n`;
  const seal = (content: Buffer, phrase: string): Buffer =>
    scrypt(work, content, phrase, recipe.logN);
  const members: [string, Buffer | string][] = [
    ['backup-header', header],
    ['backup-header.hmac', seal(Buffer.from(header), `backup-header!${passphrase}`)],
  ];
  for (const [path, content] of Object.entries({ 'qubes.xml': '<qubes/>', ...recipe.files })) {
    work.write(path, content);
    let stream = work.run('tar', ['--sparse', '--hole-detection=raw', '--format=gnu', '-cO', path]);
    if (filter !== undefined) stream = work.run(filter[1], filter.slice(2), stream);
    for (const [index, part] of cut(stream, partSize).entries()) {
      const name = numbered(path, index);
      members.push([`${name}.enc`, seal(part, `${backupId}!${name}!${passphrase}`)]);
    }
  }
  return work.members(members);
}

/** Encrypts with scrypt(1); the passphrase comes from its standard input. */
function scrypt(work: WorkDirectory, content: Buffer, passphrase: string, logN = 10): Buffer {
  const plain = work.write('scrypt-input', content);
  const costs = ['--logN', String(logN), '-r', '8', '-p', '1'];
  return work.run(
    'scrypt',
    ['enc', ...costs, '--passphrase', 'dev:stdin-once', plain],
    Buffer.from(`${passphrase}\n`),
  );
}

/** The same scrypt file with other costs, and a checksum that fits them. */
export function withCosts(file: Buffer, logN: number, r: number, p: number): Buffer {
  const changed = Buffer.from(file);
  changed.writeUInt8(logN, 7);
  changed.writeUInt32BE(r, 8);
  changed.writeUInt32BE(p, 12);
  createHash('sha256').update(changed.subarray(0, 48)).digest().copy(changed, 48, 0, 16);
  return changed;
}
