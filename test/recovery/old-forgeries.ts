import { type Piece, belongsTo, graft, rename, reword } from '../hostile/splices.ts';

/** Backups in one of Qubes' formats that an attacker without the key has seen. */
export interface OldBackups {
  readonly version: 2 | 3 | 4;
  readonly pieces: Piece[];
  /** Another backup, with another passphrase. */
  readonly foreign: Piece[];
}

export const VOLUME = 'vm5/private.img';
export const OTHER_VOLUME = 'vm6/private.img';

/** A program of the attacker, which leaves a file when it runs. */
export const EVIL: Piece = {
  name: 'evil',
  content: Buffer.from('#!/bin/sh\nexec touch "$HOME/PWNED"\n'),
};

const isMac = ({ name }: Piece): boolean => name.endsWith('.hmac');
const without = (pieces: Piece[], unwanted: string): Piece[] =>
  pieces.filter(({ name }) => name !== unwanted);
const emptied = (pieces: Piece[], which: (piece: Piece) => boolean): Piece[] =>
  pieces.map((piece) => (which(piece) ? { ...piece, content: Buffer.alloc(0) } : piece));
const isOfVolume = belongsTo(VOLUME);
const partsOfVolume = (pieces: Piece[]): Piece[] =>
  pieces.filter((piece) => isOfVolume(piece) && !isMac(piece));

/** What the attacker makes of the backups. `section`: where docs/recovery.md directs a reader of the forged header. */
export const OLD_FORGERIES: readonly (readonly [
  what: string,
  make: (backups: OldBackups) => Piece[],
  section: string | undefined,
])[] = [
  [
    'a header that says it is not encrypted',
    ({ pieces }) => reword(pieces, /encrypted=\w+/, 'encrypted=False'),
    undefined,
  ],
  [
    'a filter in the archive itself',
    ({ pieces }) => [...withFilter(pieces, './evil'), EVIL],
    undefined,
  ],
  [
    'a filter that is a command',
    ({ pieces }) => withFilter(pieces, 'sh -c touch${IFS}$HOME/PWNED'),
    undefined,
  ],
  [
    'a cipher that is an option',
    ({ pieces }) => reword(pieces, /$/, 'crypto-algorithm=engine ./evil\n'),
    undefined,
  ],
  [
    'no MAC algorithm, and empty MACs',
    ({ pieces }) => emptied(reword(pieces, /hmac-algorithm=\w+/, 'hmac-algorithm=none'), isMac),
    undefined,
  ],
  [
    'a MAC algorithm that runs a command',
    ({ pieces }) => reword(pieces, /hmac-algorithm=\w+/, 'hmac-algorithm=a[$(touch $HOME/PWNED)]'),
    undefined,
  ],
  ['empty MACs', ({ pieces }) => emptied(pieces, isMac), undefined],
  [
    'an empty MAC of the header',
    ({ pieces }) => emptied(pieces, ({ name }) => name === 'backup-header.hmac'),
    undefined,
  ],
  ['no MAC of the header', ({ pieces }) => without(pieces, 'backup-header.hmac'), undefined],
  [
    'no header',
    ({ pieces }) => without(without(pieces, 'backup-header'), 'backup-header.hmac'),
    'Format 2',
  ],
  [
    'an unencrypted header that says format 3',
    ({ pieces }) => reword(pieces, /version=\d/, 'version=3'),
    'Format 3',
  ],
  [
    'a header that says format 2',
    ({ pieces }) => reword(pieces, /version=\d/, 'version=2'),
    'Format 2',
  ],
  [
    'a header that says format 4, with the output that its check should have',
    ({ pieces }) => {
      const changed = reword(pieces, /version=\d/, 'version=4');
      const header = changed.find(({ name }) => name === 'backup-header');
      return [...changed, { name: 'authentic', content: header?.content ?? Buffer.alloc(0) }];
    },
    'Format 4',
  ],
  [
    'a header that says coffer-1, with a key derivation that runs a command',
    ({ pieces }) =>
      reword(pieces, /^[^]*$/, 'format=coffer-1\nkdf-n=a[$(touch $HOME/PWNED)]\nkdf=scrypt\n'),
    'coffer-1',
  ],
  [
    'a volume of a backup with another passphrase',
    ({ pieces, foreign }) => graft(pieces, foreign, VOLUME),
    undefined,
  ],
  ['another backup with another passphrase', ({ foreign }) => foreign, undefined],
  [
    "another VM's volume in place of one",
    ({ pieces }) =>
      rename(
        pieces.filter((piece) => !isOfVolume(piece)),
        'vm6',
        'vm5',
      ),
    undefined,
  ],
  [
    'two parts swapped',
    ({ pieces }) => {
      const [first, second] = partsOfVolume(pieces);
      return pieces.map((piece) => {
        if (piece === first) return { ...piece, content: second?.content ?? Buffer.alloc(0) };
        return piece === second ? { ...piece, content: first?.content ?? Buffer.alloc(0) } : piece;
      });
    },
    undefined,
  ],
  [
    'a missing first part',
    ({ pieces }) => without(pieces, partsOfVolume(pieces)[0]?.name ?? ''),
    undefined,
  ],
  [
    'a missing last part',
    ({ pieces }) => without(pieces, partsOfVolume(pieces).at(-1)?.name ?? ''),
    undefined,
  ],
  [
    'a changed part',
    ({ pieces }) => {
      const changed = partsOfVolume(pieces)[1];
      return pieces.map((piece) => {
        if (piece !== changed) return piece;
        const content = Buffer.from(piece.content);
        content.writeUInt8((content.at(-50) ?? 0) ^ 1, content.length - 50);
        return { ...piece, content };
      });
    },
    undefined,
  ],
];

function withFilter(pieces: Piece[], filter: string): Piece[] {
  const compressed = reword(pieces, /compressed=\w+/, 'compressed=True');
  const unnamed = pieces.map(({ content }) => content.toString('latin1')).join('');
  return unnamed.includes('compression-filter=')
    ? reword(compressed, /compression-filter=\w+/, `compression-filter=${filter}`)
    : reword(compressed, /$/, `compression-filter=${filter}\n`);
}
