import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { makeExt4Image } from '../../dom0-agent/qubes/sandbox/make-sandbox.ts';
import { MiB } from '../../shared/sizes.ts';
import { incompressible, text } from './random.ts';

const FILE = 4 * MiB;

/**
 * Makes a sparse ext4 image of `size` bytes at `path`, with files of `used` bytes in total: every third file
 * cannot be compressed, the others consist of words. The same name always gives the same files.
 */
export async function makeFilesystem(
  path: string,
  name: string,
  size: number,
  used: number,
): Promise<void> {
  const tree = await mkdtemp(`${path}.tree-`);
  try {
    for (let i = 0; i * FILE < used; i++) {
      const length = Math.min(FILE, used - i * FILE);
      const kind = i % 3 === 0 ? incompressible : text;
      const directory = join(tree, `${i % 7}`);
      await mkdir(directory, { recursive: true });
      await write(join(directory, `${i}`), kind(`${name} ${i}`, length));
    }
    await makeExt4Image(path, size, tree, new AbortController().signal);
  } finally {
    await rm(tree, { recursive: true });
  }
}

/** Makes a file without holes that cannot be compressed. */
export function makeIncompressible(path: string, name: string, size: number): Promise<void> {
  return write(path, incompressible(name, size));
}

function write(path: string, content: Iterable<Buffer>): Promise<void> {
  return pipeline(Readable.from(content), createWriteStream(path));
}

/** Makes a file without holes: one in three pieces of 1 MiB cannot be compressed, the others consist of words. */
export function makeMixture(path: string, name: string, size: number): Promise<void> {
  return write(path, mixture(name, size));
}

function* mixture(name: string, size: number): Generator<Buffer> {
  for (let at = 0, i = 0; at < size; at += MiB, i++) {
    const kind = i % 3 === 0 ? incompressible : text;
    yield* kind(`${name} ${i}`, Math.min(MiB, size - at));
  }
}
