import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { KiB, MiB } from '../../shared/sizes.ts';

const CHUNK = 128 * KiB;
/** How many chunks are compressed together. */
const TOGETHER = 32;

/**
 * What a day's backup of an image must store at least: the chunks that no day before had, compressed by zstd, with nothing
 * around them. Written for comparison only, so it shares no code with coffer.
 */
export class NewChunks {
  /** The digests of all chunks so far. */
  readonly #known = new Set<string>();

  /** The number of bytes for the image as it is now. */
  async bytesOf(image: string): Promise<number> {
    let bytes = 0;
    let together: Buffer[] = [];
    const compress = (): void => {
      if (together.length > 0) bytes += compressedLength(Buffer.concat(together));
      together = [];
    };
    for await (const chunk of chunksOf(image)) {
      if (!this.#isNew(chunk)) continue;
      together.push(Buffer.from(chunk));
      if (together.length === TOGETHER) compress();
    }
    compress();
    return bytes;
  }

  #isNew(chunk: Buffer): boolean {
    if (chunk.every((byte) => byte === 0)) return false;
    const digest = createHash('sha256').update(chunk).digest('base64');
    const isNew = !this.#known.has(digest);
    this.#known.add(digest);
    return isNew;
  }
}

async function* chunksOf(image: string): AsyncGenerator<Buffer> {
  await using file = await open(image);
  const buffer = Buffer.alloc(CHUNK);
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, CHUNK);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

function compressedLength(input: Buffer): number {
  return execFileSync('zstd', ['-3', '-q', '-c'], { input, maxBuffer: 2 * TOGETHER * CHUNK + MiB })
    .length;
}
