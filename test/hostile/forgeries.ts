import { type Piece, belongsTo, graft, otherDigit, rename, reword } from './splices.ts';

/** Backups of a system that an attacker without the key has seen. */
export interface Backups {
  /** Two backups with one passphrase. */
  readonly older: Piece[];
  readonly newer: Piece[];
  /** One with the same passphrase that is not encrypted. */
  readonly open: Piece[];
  /** One with another passphrase. */
  readonly foreign: Piece[];
}

const HEADER = ['backup-header', 'backup-header.hmac'];
export const isHeader = ({ name }: Piece): boolean => HEADER.includes(name);
const withHeaderOf = (header: Piece[], rest: Piece[]): Piece[] => [
  ...header.filter(isHeader),
  ...rest.filter((piece) => !isHeader(piece)),
];
const without = (pieces: Piece[], path: string): Piece[] =>
  pieces.filter((piece) => !belongsTo(path)(piece));

/** What the attacker makes of the backups, and the error of coffer. */
export const FORGERIES: readonly (readonly [
  what: string,
  make: (backups: Backups) => Piece[],
  says: RegExp,
])[] = [
  [
    'a volume of an older backup',
    ({ newer, older }) => graft(newer, older, 'data'),
    /its private volume is damaged/,
  ],
  [
    'a volume of an unencrypted backup',
    ({ newer, open }) => graft(newer, open, 'data'),
    /its private volume is damaged/,
  ],
  [
    'a volume of a backup with another passphrase',
    ({ newer, foreign }) => graft(newer, foreign, 'data'),
    /its private volume is damaged/,
  ],
  [
    'the map of an older backup',
    ({ newer, older }) => graft(newer, older, mapOf(newer)),
    /its private volume is damaged/,
  ],
  [
    'the table of parts of an older backup',
    ({ newer, older }) => graft(newer, older, 'parts'),
    /parts|manifest/,
  ],
  [
    'the list of VMs of an older backup',
    ({ newer, older }) => graft(newer, older, 'qubes.xml'),
    // If it has another length, that is noticed first.
    /qubes\.xml|its manifest describes other contents/,
  ],
  [
    'the manifest of an older backup',
    ({ newer, older }) => graft(newer, older, 'manifest'),
    /manifest/,
  ],
  ['the header of an older backup', ({ newer, older }) => withHeaderOf(older, newer), /manifest/],
  [
    'the header of an unencrypted backup',
    ({ newer, open }) => withHeaderOf(open, newer),
    /manifest/,
  ],
  [
    'the header of a backup with another passphrase',
    ({ newer, foreign }) => withHeaderOf(foreign, newer),
    /passphrase is wrong/,
  ],
  ['another backup with another passphrase', ({ foreign }) => foreign, /passphrase is wrong/],
  [
    'no map of a volume',
    ({ newer }) => without(newer, mapOf(newer)),
    /missing|incomplete|does not/,
  ],
  [
    'no data of the volumes',
    ({ newer }) => without(newer, 'data'),
    /missing|incomplete|does not|order/,
  ],
  [
    'no VM at all',
    ({ newer }) => newer.filter(({ name }) => !name.startsWith('vm')),
    /missing|incomplete|not/,
  ],
  ['no manifest', ({ newer }) => without(newer, 'manifest'), /no manifest/],
  ['no header', ({ newer }) => newer.slice(2), /passphrase is wrong/],
  ['no MAC of the header', ({ newer }) => newer.toSpliced(1, 1), /authentication code/],
  ['two VMs swapped', ({ newer }) => swapped(newer), /is not where it should be|damaged/],
  [
    'a VM twice',
    ({ newer }) => [...newer, ...newer.filter(belongsTo(mapOf(newer)))],
    /manifest|follows/,
  ],
  [
    'a VM under another directory name',
    ({ newer }) => rename(newer, mapOf(newer).replace(/\/.*/, ''), 'vm9'),
    /is not where it should be|damaged/,
  ],
  [
    'two backups, one after the other',
    ({ newer, older }) => [...newer, ...older],
    /damaged|belong|manifest|missing/,
  ],
  [
    'a header that says it is not encrypted',
    ({ newer }) => reword(newer, /^encrypted=True/m, 'encrypted=False'),
    /tampered with/,
  ],
  [
    'another cost of the key derivation',
    ({ newer }) => reword(newer, /kdf-n=16384/, 'kdf-n=32768'),
    /passphrase is wrong/,
  ],
  [
    'a key derivation below the minimum',
    ({ newer }) => reword(newer, /kdf-n=16384/, 'kdf-n=1024'),
    /out of bounds/,
  ],
  [
    'a key derivation that takes 16 TiB',
    ({ newer }) => reword(newer, /kdf-n=16384/, 'kdf-n=17179869184'),
    /kdf-n/,
  ],
  ['another MAC algorithm', ({ newer }) => reword(newer, /sha512/, 'md5'), /hmac-algorithm/],
  [
    'no MAC algorithm',
    ({ newer }) => reword(newer, /hmac-algorithm=sha512\n/, ''),
    /hmac-algorithm/,
  ],
  ['another cipher', ({ newer }) => reword(newer, /aes-256-ctr/, 'rot13'), /crypto-algorithm/],
  ['another salt', ({ newer }) => otherDigit(newer, 'kdf-salt'), /passphrase is wrong/],
  ['another backup-id', ({ newer }) => otherDigit(newer, 'backup-id'), /tampered with/],
  [
    'parts of another size',
    ({ newer }) => reword(newer, /part-size=\d+/, 'part-size=1048576'),
    /tampered with|out of bounds/,
  ],
  ['another series key', ({ newer }) => otherDigit(newer, 'series-key'), /passphrase is wrong/],
  [
    'the series key of an older backup',
    ({ newer, older }) => withSeriesKeyOf(older, newer),
    /passphrase is wrong/,
  ],
  ['another series', ({ newer }) => otherDigit(newer, 'series-id'), /passphrase is wrong/],
  [
    'another kind of file',
    ({ newer }) => reword(newer, /kind=backup/, 'kind=pack'),
    /a file without a backup is one/,
  ],
  ['another filter', ({ newer }) => reword(newer, /filter=zstd/, 'filter=gzip'), /tampered with/],
  [
    'a filter that is a command',
    ({ newer }) => reword(newer, /filter=zstd/, 'filter=sh -c x'),
    /no valid/,
  ],
  [
    'another version of the format',
    ({ newer }) => reword(newer, /coffer-1/, 'coffer-0'),
    /does not (know|read)/,
  ],
  [
    'a header of format 4',
    ({ newer }) => reword(newer, /format=coffer-1/, 'version=4'),
    /passphrase is wrong|damaged/,
  ],
  [
    'a header of format 3',
    ({ newer }) => reword(newer, /format=coffer-1/, 'version=3'),
    /passphrase is wrong|damaged|not/,
  ],
  [
    'an unencrypted header of format 2',
    ({ newer }) => reword(newer, /^[^]*$/, OLD_HEADER),
    /passphrase is wrong|damaged/,
  ],
  ['no format', ({ newer }) => reword(newer, /format=coffer-1\n/, ''), /does not (know|read)/],
];

const OLD_HEADER =
  'version=2\nhmac-algorithm=SHA1\ncrypto-algorithm=aes-256-cbc\nencrypted=False\ncompressed=False\n';

/** The path of the map of a VM's volume `private`. */
function mapOf(backup: Piece[]): string {
  const name = backup.find((piece) => /^vm\d+\/private\.map\.000$/.test(piece.name))?.name;
  return name?.replace(/\.000$/, '') ?? '';
}

/** The pieces with the wrapped series key, and its MAC, of another backup's header. */
function withSeriesKeyOf(other: Piece[], pieces: Piece[]): Piece[] {
  const header = other.find(isHeader)?.content.toString() ?? '';
  const [lines = ''] = /^series-key=.*\nseries-key-mac=.*$/m.exec(header) ?? [];
  return reword(pieces, /^series-key=.*\nseries-key-mac=.*$/m, lines);
}

function swapped(pieces: Piece[]): Piece[] {
  const [first = '', second = ''] = new Set(
    pieces.flatMap(({ name }) => /^vm\d+/.exec(name)?.[0] ?? []),
  );
  return rename(rename(rename(pieces, first, 'vmx'), second, first), 'vmx', second);
}
