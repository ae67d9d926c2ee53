import { beforeAll, afterAll, describe, expect, it } from 'vitest';
import { chunkOf } from '../archive/coffer1/make-series.ts';
import { GRAIN } from '../archive/coffer1/sample.ts';
import { type Piece, assemble, piecesOf } from '../hostile/splices.ts';
import { SeriesOnDisk } from './series-on-disk.ts';

const [WORK, OTHER] = ['vm5/private.img', 'vm6/private.img'];
const NAMES = { vm5: 'work', vm6: 'dev-box' };

function volume(names: string): Buffer {
  return Buffer.concat(
    Array.from(names, (name) => (name === '-' ? Buffer.alloc(GRAIN) : chunkOf(name))),
  );
}

/** Two volumes of which a prune moved some parts into a pack unchanged, and trimmed others. */
let series: SeriesOnDisk;
let pack: string;
let pieces: readonly Piece[];
let bytes: Buffer;

beforeAll(async () => {
  series = new SeriesOnDisk();
  const days = [
    ['abcdefgh', 'stuvwxyz'],
    ['aBCDEFgh', 'stuvwxyz'],
    ['aBCDEFgH', 'Stuvwxyz'],
  ] as const;
  for (const [work, other] of days) {
    const volumes = { [WORK]: volume(work), [OTHER]: volume(other) };
    await series.backUp(volumes, { chunksInPart: 4 }, NAMES);
  }
  const { packs } = await series.prune({ last: 1 });
  pack = packs[0]?.untrustedName ?? '';
  bytes = series.read(pack);
  pieces = piecesOf(bytes);
});
afterAll(() => series[Symbol.dispose]());

/** `day-3` if the newest backup is damaged with this pack. */
async function damagedWith(changed: readonly Piece[]): Promise<string[]> {
  series.write(pack, await assemble(changed));
  try {
    return await series.damaged(['day-3']);
  } finally {
    series.write(pack, bytes);
  }
}

const dataIn = (all: readonly Piece[]): Piece[] =>
  all.filter(({ name }) => /^(from|trimmed)\/.*\/data\.\d+$/.test(name));

describe('a pack that a prune has made', () => {
  it('contains unchanged and trimmed parts, from which the backup can be read', async () => {
    const names = dataIn(pieces).map(({ name }) => name.slice(0, name.indexOf('/')));
    expect(new Set(names)).toEqual(new Set(['from', 'trimmed']));
    expect(await damagedWith(pieces)).toEqual([]);
  });

  it('is refused if a byte of any member or MAC has changed, except that of the ids', async () => {
    for (const { name, content } of pieces) {
      const at = content.length >> 1;
      const other = Buffer.from(content);
      other[at] = (other[at] ?? 0) ^ 1;
      const changed = pieces.map((each) => (each.name === name ? { name, content: other } : each));
      // The ids are for the next backup, and are not read by a restore.
      const isRead = !name.startsWith('ids.');
      expect(await damagedWith(changed), name).toEqual(isRead ? ['day-3'] : []);
    }
  });

  it('is refused if a part is missing, or if two parts are exchanged', async () => {
    const parts = dataIn(pieces);
    expect(parts.length).toBeGreaterThan(2);
    for (const { name } of parts) {
      const isOf = (piece: Piece): boolean => piece.name === name || piece.name === `${name}.hmac`;
      expect(await damagedWith(pieces.filter((piece) => !isOf(piece))), name).toEqual(['day-3']);
      for (const other of parts.filter((each) => each.name !== name)) {
        const content = new Map(pieces.map((each) => [each.name, each.content] as const));
        const exchanged = pieces.map((piece) => {
          const from = piece.name.replace(name, '\0').replace(other.name, name);
          const source = from.replace('\0', other.name);
          return { ...piece, content: content.get(source) ?? piece.content };
        });
        expect(await damagedWith(exchanged), `${name}, ${other.name}`).toEqual(['day-3']);
      }
    }
  });

  it('is of no use if it belongs to another series or is truncated', async () => {
    using others = new SeriesOnDisk();
    for (const work of ['abcdefgh', 'aBCDEFgh']) {
      const volumes = { [WORK]: volume(work), [OTHER]: volume('stuvwxyz') };
      await others.backUp(volumes, { chunksInPart: 4 }, NAMES);
    }
    const [foreign] = (await others.prune({ last: 1 })).packs;
    series.write(pack, others.read(foreign?.untrustedName ?? ''));
    expect(await series.damaged(['day-3'])).toEqual(['day-3']);
    for (const share of [0.1, 0.5, 0.9]) {
      series.write(pack, bytes.subarray(0, Math.floor(share * bytes.length)));
      expect(await series.damaged(['day-3']), String(share)).toEqual(['day-3']);
    }
    series.write(pack, bytes);
    expect(await series.damaged(['day-3'])).toEqual([]);
  });
});
