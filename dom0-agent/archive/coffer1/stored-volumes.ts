import { isZero } from '../../../shared/sparse-data.ts';
import { INCOMPLETE } from '../archive.ts';
import { ChunkIds } from './chunk-ids.ts';
import type { SeriesFile } from './series-file.ts';
import { type VolumeMap, mapPath, parseMap } from './volume-map.ts';

/** A volume as a backup has it, to be held against another one: no data is read for that. */
export interface StoredVolume {
  /** `vm5/private.img` */
  readonly path: string;
  /** Which volume of which VM it is, whatever that is called. */
  readonly origin: string;
  readonly size: number;
  /** Bytes in a chunk. */
  readonly grain: number;
  /** Whether it is as it was when it was backed up: something may have written to it. */
  readonly isWhole: boolean;
  readonly compare: () => VolumeComparison;
}

/** Whether some volume is the one that was stored. */
export interface VolumeComparison {
  /** The next chunk, the last one filled up with zeros; chunks of zeros may be left out. */
  add(number: number, chunk: Buffer): void;
  /** Once, when all were added. */
  isSame(): boolean;
}

/** The volumes of a backup, as their maps tell of them. Throws DamagedError. */
export async function* storedVolumes(
  file: SeriesFile,
): AsyncGenerator<StoredVolume, void, undefined> {
  const { files } = file.manifest;
  const paths = new Set(files.map(({ path }) => path));
  const { grain } = file.opened.header;
  for (const { path, volume } of files) {
    if (volume === undefined) continue;
    const map = await parseMap(file.contentOf(mapPath(path)), path, grain);
    const directory = path.slice(0, path.lastIndexOf('/'));
    yield {
      ...{ path, origin: map.origin, size: map.size, grain },
      isWhole: !paths.has(`${directory}/${INCOMPLETE}`),
      compare: () => comparison(new ChunkIds(file.opened.key.root, map.domain), map),
    };
  }
}

function comparison(ids: ChunkIds, map: VolumeMap): VolumeComparison {
  return {
    add: (number, chunk) => {
      if (!isZero(chunk)) ids.add(number, ids.idOf(chunk));
    },
    isSame: () => ids.chunks === map.chunks && ids.digest() === map.digest,
  };
}
