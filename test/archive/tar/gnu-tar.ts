import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { afterAll } from 'vitest';
import type { DataPiece } from '../../../shared/sparse-data.ts';
import { type TarMember, untar } from '../../../dom0-agent/archive/tar/inner-reader.ts';

export interface Run {
  readonly offset: number;
  readonly length: number;
}

/** A directory that is removed after the file's tests. */
export async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'coffer-inner-tar-'));
  afterAll(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** Bytes that are never zero, and vary with the offset. */
export function pattern(length: number, seed = 0): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = 1 + ((i * 31 + (i >> 8) * 7 + seed) % 255);
  return bytes;
}

/** Makes a file of `size` bytes with data in `runs` only. */
export async function sparseFile(path: string, size: number, runs: readonly Run[]): Promise<void> {
  await using file = await open(path, 'w');
  await file.truncate(size);
  for (const { offset, length } of runs)
    await file.write(pattern(length, offset), 0, length, offset);
}

/** The whole content of a file of `sparseFile`. */
export function sparseContent(size: number, runs: readonly Run[]): Buffer {
  const content = Buffer.alloc(size);
  for (const { offset, length } of runs) pattern(length, offset).copy(content, offset);
  return content;
}

/** Runs GNU tar; returns its standard output. */
export async function tar(
  args: readonly string[],
  input: AsyncIterable<Buffer> | Iterable<Buffer> = [],
  statuses: readonly number[] = [0],
): Promise<Buffer> {
  const child = spawn('tar', args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const output: Buffer[] = [];
  let complaint = '';
  child.stdout.on('data', (bytes: Buffer) => output.push(bytes));
  child.stderr.on('data', (bytes: Buffer) => (complaint += bytes.toString()));
  const closed = once(child, 'close');
  await Promise.allSettled([pipeline(input, child.stdin)]);
  await closed;
  if (!statuses.includes(child.exitCode ?? -1)) throw new Error(`tar failed: ${complaint}`);
  return Buffer.concat(output);
}

export async function* chunked(bytes: Buffer, length = 65536): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) {
    yield await Promise.resolve(bytes.subarray(at, at + length));
  }
}

export async function collect(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export type Unpacked = Omit<TarMember, 'pieces'> & { readonly content: Buffer };

/** Every member with its content, holes filled in. */
export async function unpack(archive: AsyncIterable<Buffer>): Promise<Unpacked[]> {
  const members: Unpacked[] = [];
  for await (const { pieces, ...member } of untar(archive)) {
    const seen: DataPiece[] = [];
    let end = 0;
    for await (const piece of pieces()) {
      if (piece.offset < end) throw new Error('the pieces do not ascend');
      end = piece.offset + piece.bytes.length;
      if (end > member.realSize) throw new Error('a piece lies outside the file');
      seen.push(piece);
    }
    const content = Buffer.alloc(member.realSize);
    for (const { offset, bytes } of seen) bytes.copy(content, offset);
    members.push({ ...member, content });
  }
  return members;
}
