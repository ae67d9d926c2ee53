import { describe, expect, it } from 'vitest';
import type { FileToArchive } from '../../../dom0-agent/archive/archive.ts';
import { compressAhead } from '../../../dom0-agent/archive/compress/compress-ahead.ts';
import { compress } from '../../../dom0-agent/archive/compress/compression.ts';

const never = new AbortController().signal;
const asItIs = (innerTar: AsyncIterable<Buffer>): AsyncIterable<Buffer> => innerTar;

/** Files `a`, `b` … of so many chunks each, and a log of what happens to them. */
class Files {
  readonly log: string[] = [];

  async *of(...chunks: number[]): AsyncGenerator<FileToArchive> {
    for (const [i, count] of chunks.entries()) {
      const path = String.fromCharCode(0x61 + i);
      yield await Promise.resolve({ path, innerTar: this.#tar(path, count) });
    }
  }

  async *#tar(path: string, count: number): AsyncGenerator<Buffer> {
    this.log.push(`${path} begun`);
    try {
      for (let i = 0; i < count; i++) yield await Promise.resolve(Buffer.from(`${path}${i} `));
      if (count < 0) throw new Error(`${path} cannot be read`);
      this.log.push(`${path} read`);
    } finally {
      this.log.push(`${path} left`);
    }
  }
}

async function read(files: ReturnType<typeof compressAhead>): Promise<string[]> {
  const texts: string[] = [];
  for await (const { path, compressed } of files) {
    const chunks: Buffer[] = [];
    for await (const chunk of compressed) chunks.push(chunk);
    texts.push(`${path}: ${Buffer.concat(chunks).toString()}`);
  }
  return texts;
}

describe('compressAhead', () => {
  it('gives every file whole and in its order, empty ones too', async () => {
    const texts = await read(compressAhead(new Files().of(2, 0, 3, 0), asItIs));
    expect(texts).toEqual(['a: a0 a1 ', 'b: ', 'c: c0 c1 c2 ', 'd: ']);
    expect(await read(compressAhead(new Files().of(), asItIs))).toEqual([]);
  });

  it('begins a file when the one before has been read, though not all came out of the compressor', async () => {
    const files = new Files();
    const begun = compressAhead(files.of(2, 1, 1), (tar) => compress('gzip', tar, never));
    const { value: first } = await begun.next();
    // gzip's first output comes at its end: a has been read, and nobody has asked for b.
    await first?.compressed[Symbol.asyncIterator]().next();
    await expect.poll(() => files.log).toContain('b begun');
    expect(files.log).not.toContain('c begun');
    await begun.return();
  });

  it('leaves what was begun when it is left', async () => {
    const files = new Files();
    for await (const { compressed } of compressAhead(files.of(1, 5), asItIs)) {
      const chunks = compressed[Symbol.asyncIterator]();
      while ((await chunks.next()).done !== true) continue;
      break;
    }
    expect(files.log).toEqual(['a begun', 'a read', 'a left', 'b begun', 'b left']);
  });

  it('leaves a file in the middle without beginning another', async () => {
    const files = new Files();
    for await (const { compressed } of compressAhead(files.of(5, 5), asItIs)) {
      await compressed[Symbol.asyncIterator]().next();
      break;
    }
    expect(files.log).toEqual(['a begun', 'a left']);
  });

  it('tells what is wrong with a file when its turn comes', async () => {
    const files = new Files();
    const paths: string[] = [];
    const reading = async (): Promise<void> => {
      for await (const { path, compressed } of compressAhead(files.of(1, -1, 1), asItIs)) {
        for await (const chunk of compressed) expect(chunk.length).toBeGreaterThan(0);
        paths.push(path);
      }
    };
    await expect(reading()).rejects.toThrow('b cannot be read');
    expect(paths).toEqual(['a']);
    expect(files.log).not.toContain('c begun');
  });

  it('passes on an error of the files themselves', async () => {
    async function* failing(): AsyncGenerator<FileToArchive> {
      yield* new Files().of(1);
      throw new Error('no more files');
    }
    await expect(read(compressAhead(failing(), asItIs))).rejects.toThrow('no more files');
  });
});
