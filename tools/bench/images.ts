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
 * A sparse ext4 image of `size` bytes at `path` that holds files of `used` bytes: every third file
 * cannot be compressed, the others are words. The same for the same name.
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

/** A file without holes that no compressor makes smaller. */
export function makeIncompressible(path: string, name: string, size: number): Promise<void> {
  return write(path, incompressible(name, size));
}

function write(path: string, content: Iterable<Buffer>): Promise<void> {
  return pipeline(Readable.from(content), createWriteStream(path));
}

/** A file without holes: a third of it cannot be compressed, in pieces between words. */
export function makeMixture(path: string, name: string, size: number): Promise<void> {
  return write(path, mixture(name, size));
}

function* mixture(name: string, size: number): Generator<Buffer> {
  for (let at = 0, i = 0; at < size; at += MiB, i++) {
    const kind = i % 3 === 0 ? incompressible : text;
    yield* kind(`${name} ${i}`, Math.min(MiB, size - at));
  }
}
