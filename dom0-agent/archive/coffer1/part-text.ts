import { MOST_CHUNKS_IN_PART, PART_TEXT_LENGTH } from './coffer1-header.ts';
import { NUMBER, WORD, invalid } from './text-lines.ts';

/** Consecutive chunks of a volume. */
export interface ChunkRun {
  /** The number of the first one in the volume. */
  readonly first: number;
  readonly count: number;
}

/** What a part says about itself, so that a stream can be restored, and a truncated file salvaged. */
export interface PartText {
  /** `vm5/private.img` */
  readonly path: string;
  /** The size of the volume in bytes. */
  readonly size: number;
  readonly domain: string;
  /** Which of the volume's parts in this file it is, from 0. */
  readonly index: number;
  /** Whether it is the volume's last part in this file. */
  readonly last: boolean;
  /** The chunks in the part, ascending; runs that neither touch nor overlap. */
  readonly runs: readonly ChunkRun[];
}

/** How many chunks are in the part. */
export function chunksOf({ runs }: Pick<PartText, 'runs'>): number {
  return runs.reduce((sum, { count }) => sum + count, 0);
}

/** The block of 4 KiB before the chunks of a part: lines, padded with line feeds. */
export function formatPartText({ path, size, domain, index, last, runs }: PartText): Buffer {
  const lines = [
    'coffer-1 part',
    `volume ${path}`,
    `size ${size}`,
    `domain ${domain}`,
    `part ${index} ${last ? 'last' : 'more'}`,
    ...runs.map(({ first, count }) => `run ${first} ${count}`),
    'end',
  ];
  const text = Buffer.from(lines.map((line) => `${line}\n`).join(''), 'latin1');
  if (text.length > PART_TEXT_LENGTH) throw new RangeError('the text of a part is too long');
  return Buffer.concat([text, Buffer.alloc(PART_TEXT_LENGTH - text.length, '\n')]);
}

const TEXT = new RegExp(
  `^coffer-1 part\\nvolume (${WORD})\\nsize (${NUMBER})\\ndomain (${WORD})\\n` +
    `part (${NUMBER}) (last|more)\\n((?:run ${NUMBER} ${NUMBER}\\n){0,${MOST_CHUNKS_IN_PART}})end\\n\\n*$`,
);

/** Parses the block. Throws DamagedError unless it is exactly as `formatPartText` writes it. */
export function parsePartText(block: Buffer, grain: number): PartText {
  const match = TEXT.exec(block.toString('latin1'));
  const [, path, size, domain, index, last, runLines] = match ?? [];
  if (path === undefined || domain === undefined || runLines === undefined) throw invalidPart();
  const runs = [...runLines.matchAll(/^run ([0-9]+) ([0-9]+)$/gm)].map(([, first, count]) => ({
    first: Number(first),
    count: Number(count),
  }));
  const text = {
    ...{ path, size: Number(size), domain },
    ...{ index: Number(index), last: last === 'last', runs },
  };
  checkRuns(text, Math.ceil(text.size / grain));
  return text;
}

function checkRuns({ runs }: PartText, chunks: number): void {
  let end = -1;
  for (const { first, count } of runs) {
    if (first <= end || count < 1) throw invalidPart();
    end = first + count;
  }
  if (end > chunks || chunksOf({ runs }) > MOST_CHUNKS_IN_PART) throw invalidPart();
}

function invalidPart(): Error {
  return invalid('a part of a volume');
}
