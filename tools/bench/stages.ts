import { open, rm } from 'node:fs/promises';
import { compress } from '../../dom0-agent/archive/compress/compression.ts';
import { sealMember } from '../../dom0-agent/archive/coffer1/seal-member.ts';
import { sparseTar } from '../../dom0-agent/archive/tar/inner-writer.ts';
import { dataExtents } from '../../dom0-agent/qubes/pools/data-extents.ts';
import { AgentStorage } from '../../dom0-agent/transport/agent-storage.ts';
import { localProcess } from '../../dom0-agent/transport/local-process.ts';
import { decodeFrame, encodeFrame } from '../../protocol/codec.ts';
import { frames } from '../../protocol/framing.ts';
import { LONGEST_DATA } from '../../protocol/limits.ts';
import { GiB, MiB } from '../../shared/sizes.ts';
import { AtomicFile } from '../../storage/atomic-file.ts';
import { VM_AGENT } from './coffer.ts';
import { summaryOf } from './statistics.ts';
import type { World } from './world.ts';

const RUNS = 3;
const LENGTH = 0.5 * GiB;
const PART = 16 * MiB;

/** The throughput of one stage of a backup's data path when nothing else runs. */
export interface StageResult {
  readonly name: string;
  /** The median of input bytes per second. */
  readonly speed: number;
}

/** Runs a stage, and returns the number of its input bytes. */
type Stage = () => Promise<number>;

/** Measures every stage separately, on the data of the image `files`, or as many bytes in memory. */
export async function measureStages(world: World): Promise<StageResult[]> {
  const image = await world.image('files');
  const data = await dataOf(image);
  const stages = new Map<string, Stage>([
    ['read', async () => lengthOf(await dataOf(image))],
    ['tar', () => tar(data)],
    ['compress', () => consume(compress('zstd', stream(data), never), lengthOf(data))],
    ['seal', seal],
    ['frame, and take out of the frame', () => frame(data)],
    ['transport, to a VM agent that throws it away', () => transport(world, data)],
    ['write, synced', () => write(world, data)],
  ]);
  const results: StageResult[] = [];
  for (const [name, stage] of stages) results.push({ name, speed: await speedOf(stage) });
  return results;
}

async function speedOf(stage: Stage): Promise<number> {
  const speeds: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    const begun = performance.now();
    const bytes = await stage();
    speeds.push((bytes / (performance.now() - begun)) * 1000);
  }
  return summaryOf(speeds).median;
}

const never = new AbortController().signal;

/** The data of an image without holes, in chunks of at most 1 MiB. */
async function dataOf(image: string): Promise<Buffer[]> {
  await using file = await open(image);
  const { size } = await file.stat();
  const chunks: Buffer[] = [];
  for (const { offset, length } of await dataExtents(image, size, never)) {
    for (let at = offset; at < offset + length; at += MiB) {
      const chunk = Buffer.allocUnsafe(Math.min(MiB, offset + length - at));
      await file.read(chunk, 0, chunk.length, at);
      chunks.push(chunk);
    }
  }
  return chunks;
}

function tar(data: readonly Buffer[]): Promise<number> {
  const size = lengthOf(data);
  const read = (): Promise<void> => Promise.resolve();
  // It begins with a hole, so that it is a sparse file.
  const extents = [{ offset: MiB, length: size }];
  return consume(sparseTar('vm1/private.img', size + MiB, extents, read), size);
}

async function seal(): Promise<number> {
  const key = { root: Buffer.alloc(64, 1), backupId: '0'.repeat(32), encrypted: true };
  const part = Buffer.alloc(PART, 2);
  for (let done = 0; done < LENGTH; done += PART)
    await sealMember(key, 'vm1/private.img.000', part);
  return LENGTH;
}

async function frame(data: readonly Buffer[]): Promise<number> {
  let offset = 0;
  async function* encoded(): AsyncGenerator<Buffer> {
    for await (const chunk of stream(data)) {
      for (let at = 0; at < chunk.length; at += LONGEST_DATA) {
        const bytes = chunk.subarray(at, at + LONGEST_DATA);
        yield* encodeFrame({ kind: 'data', offset, bytes });
        offset += bytes.length;
      }
    }
  }
  for await (const bytes of frames(encoded())) decodeFrame(bytes);
  return offset;
}

async function transport(world: World, data: readonly Buffer[]): Promise<number> {
  const storage = new AgentStorage('usb', localProcess(VM_AGENT, world.directory));
  await using sink = await storage.openSink({ command: 'cat > /dev/null' }, undefined, never);
  for (const chunk of data) await sink.write(chunk);
  return (await sink.finish()).bytes;
}

async function write(world: World, data: readonly Buffer[]): Promise<number> {
  await using file = await AtomicFile.create(world.directory, 'written', undefined);
  for (const chunk of data) await file.write(chunk);
  await file.finish();
  await rm(world.place('written'));
  return lengthOf(data);
}

async function consume(source: AsyncIterable<Buffer>, length: number): Promise<number> {
  for await (const chunk of source) if (chunk.length < 0) break;
  return length;
}

async function* stream(chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) yield await Promise.resolve(chunk);
}

function lengthOf(chunks: readonly Buffer[]): number {
  return chunks.reduce((sum, { length }) => sum + length, 0);
}
