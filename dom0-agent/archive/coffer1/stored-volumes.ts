import { isZero } from '../../../shared/sparse-data.ts';
import { INCOMPLETE } from '../archive.ts';
import { ChunkIds } from './chunk-ids.ts';
import type { SeriesFile } from './series-file.ts';
import { type VolumeMap, mapPath, parseMap } from './volume-map.ts';

/** A volume in a backup, to be compared with another volume. No stored data is read for that. */
export interface StoredVolume {
  /** `vm5/private.img` */
  readonly path: string;
  /** Identifies the volume and its VM, whatever the VM's name. */
  readonly origin: string;
  readonly size: number;
  /** The size of a chunk in bytes. */
  readonly grain: number;
  /** Whether the backup of its VM is complete. If not, the volume may have changed while it was read. */
  readonly isWhole: boolean;
  readonly compare: () => VolumeComparison;
}

/** Compares the content of a volume with the stored one. */
export interface VolumeComparison {
  /** Adds a chunk, in ascending order; the last one padded with zeros. Chunks of zeros may be left out. */
  add(number: number, chunk: Buffer): void;
  /** To be called once, after all chunks have been added. */
  isSame(): boolean;
}

/** The volumes of a backup, according to their maps. Throws DamagedError. */
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
