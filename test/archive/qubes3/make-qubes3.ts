import { deflateSync } from 'node:zlib';
import { WorkDirectory, cut, numbered } from '../official-archives.ts';

/** How an archive of format 3 or 2 is made. */
export interface Qubes3Recipe {
  readonly version: 2 | 3;
  /** Contents by path. A path that ends in `/.` is a directory, with contents by paths in it. */
  readonly files: Readonly<Record<string, Buffer | string | Readonly<Record<string, string>>>>;
  readonly passphrase: string;
  /** The cipher, as openssl names it; without it, the archive is not encrypted. */
  readonly cipher?: string;
  /** For format 2 the program is ignored: `gzip`, or `zlib` as `openssl enc -z` has it. */
  readonly filter?: readonly [name: string, program: string, ...args: string[]];
  readonly mac?: string;
  /** What precedes the hex digits of a MAC. */
  readonly macLabel?: string;
  /** In bytes, for format 2 a multiple of 10 KiB. */
  readonly partSize?: number;
  /** The header's text; false: none, as in the oldest archives. */
  readonly header?: string | false;
}

/** Makes an archive as the official tools of R2 and R3 do, with tar(1) and openssl(1). */
export function makeQubes3(recipe: Qubes3Recipe): Buffer {
  using work = new WorkDirectory();
  const members: [string, Buffer][] = [];
  if (recipe.header !== false)
    members.push(['backup-header', Buffer.from(recipe.header ?? headerOf(recipe))]);
  const files: Qubes3Recipe['files'] = { 'qubes.xml': '<xml/>', ...recipe.files };
  for (const [path, content] of Object.entries(files)) {
    if (typeof content === 'string' || Buffer.isBuffer(content)) {
      work.write(path, content);
    } else {
      for (const [name, text] of Object.entries(content)) work.write(`${path}/${name}`, text);
    }
    const parts =
      recipe.version === 3 ? partsOf3(work, path, recipe) : partsOf2(work, path, recipe);
    for (const [index, part] of parts.entries()) members.push([numbered(path, index), part]);
  }
  return membersWithMacs(work, members, recipe);
}

/** The members, each followed by its MAC, as the official tools write them. */
export function membersWithMacs(
  work: WorkDirectory,
  members: readonly (readonly [name: string, content: Buffer])[],
  recipe: Pick<Qubes3Recipe, 'mac' | 'macLabel' | 'passphrase'>,
): Buffer {
  const macs = macTexts(work, members, recipe);
  const macOf = (i: number): string => macs[i] ?? '';
  return work.members(
    members.flatMap(([name, content], i) => [
      [name, content],
      [`${name}.hmac`, macOf(i)],
    ]),
  );
}

function headerOf({ version, mac = 'SHA512', cipher, filter }: Qubes3Recipe): string {
  const lines = [
    `version=${version}`,
    `hmac-algorithm=${mac}`,
    `crypto-algorithm=${cipher ?? 'aes-256-cbc'}`,
    `encrypted=${cipher === undefined ? 'False' : 'True'}`,
    `compressed=${filter === undefined ? 'False' : 'True'}`,
    ...(version === 3 ? [`compression-filter=${filter?.[0] ?? 'gzip'}`] : []),
  ];
  return `${lines.join('\n')}\n`;
}

/** One tar, one compressor's stream, one cipher stream, cut into parts. */
function partsOf3(work: WorkDirectory, path: string, recipe: Qubes3Recipe): Buffer[] {
  let stream = work.run('tar', ['--sparse', '--hole-detection=raw', '--format=gnu', '-cO', path]);
  if (recipe.filter !== undefined) {
    stream = work.run(recipe.filter[1], recipe.filter.slice(2), stream);
  }
  stream = encrypted(work, stream, recipe);
  return cut(stream, recipe.partSize ?? 100 * 2 ** 20);
}

/** A tar of several volumes, each of them compressed and encrypted. */
function partsOf2(work: WorkDirectory, path: string, recipe: Qubes3Recipe): Buffer[] {
  const most = 40;
  const volumes = Array.from({ length: most }, (_, i) => `volume${i}`);
  const length = String((recipe.partSize ?? 100 * 2 ** 20) / 1024);
  work.run('tar', [
    ...[
      '--create',
      '--sparse',
      '--hole-detection=raw',
      '--format=gnu',
      '--multi-volume',
      `--tape-length=${length}`,
    ],
    ...volumes.flatMap((volume) => ['--file', volume]),
    path,
  ]);
  const written = volumes.filter((volume) => work.has(volume));
  return written.map((volume) => {
    const plain = work.take(volume);
    return encrypted(work, zipped(work, plain, recipe.filter?.[0]), recipe);
  });
}

function zipped(work: WorkDirectory, plain: Buffer, filter: string | undefined): Buffer {
  if (filter === undefined) return plain;
  return filter === 'zlib' ? deflateSync(plain) : work.run('gzip', ['-c'], plain);
}

function encrypted(
  work: WorkDirectory,
  plain: Buffer,
  { cipher, passphrase }: Qubes3Recipe,
): Buffer {
  if (cipher === undefined) return plain;
  work.write('to-encrypt', plain);
  return work.run(
    'openssl',
    ['enc', `-${cipher}`, '-md', 'MD5', '-pass', 'stdin', '-in', 'to-encrypt'],
    Buffer.from(`${passphrase}\n`),
  );
}

/** The MACs of members, as openssl prints them for standard input. */
function macTexts(
  work: WorkDirectory,
  members: readonly (readonly [name: string, content: Buffer])[],
  { mac = 'SHA512', macLabel, passphrase }: Pick<Qubes3Recipe, 'mac' | 'macLabel' | 'passphrase'>,
): string[] {
  const paths = members.map(([, content], i) => work.write(`to-authenticate-${i}`, content));
  const printed = work
    .run('openssl', ['dgst', `-${mac}`, '-hmac', passphrase, ...paths])
    .toString();
  return printed
    .trimEnd()
    .split('\n')
    .map((line) => `${line.replace(/\(.*\)=/, '(stdin)=')}\n`)
    .map((line) => (macLabel === undefined ? line : line.replace(/^.*=/, `${macLabel}=`)));
}
