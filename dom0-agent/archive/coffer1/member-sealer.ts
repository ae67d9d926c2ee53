import { availableParallelism } from 'node:os';
import { BufferPool } from '../parts/buffer-pool.ts';
import { prefetch } from '../parts/prefetch.ts';
import { type Coffer1Filter, type Cut, mostStored } from './coffer1-header.ts';
import { type FrameCompressor, frameCompressor } from './frame-compressor.ts';
import { mapAhead } from './map-ahead.ts';
import { type ArchiveKey, sealMember } from './seal-member.ts';
import type { WrittenPart } from './written-so-far.ts';

/** A member; the memory in which `bytes` lies must be given back. */
export interface PlainMember {
  readonly name: string;
  readonly bytes: Buffer;
  /** Of the pool for plaintext. */
  readonly buffer?: Buffer;
  /** Of the pool for frames. */
  readonly frame?: Buffer;
  readonly part?: WrittenPart;
}

/** `bytes` as they are stored. */
export type SealedMember = PlainMember & { readonly mac: string };

/** How many members are compressed at the same time: all cores have one, and one waits. */
export const COMPRESSED_AT_ONCE = availableParallelism() + 1;

/** More frames than are being made: two are sealed, one waits, one is written. */
const FRAMES_BESIDE = 4;

/** Compresses and seals members before it is their turn to be stored. */
export class MemberSealer implements AsyncDisposable {
  readonly #key: ArchiveKey;
  readonly #cut: Cut;
  readonly #plain: BufferPool;
  /** For what is compressed: fresh memory for each would cost more than its encryption. */
  readonly #frames: BufferPool;
  readonly #compressor: FrameCompressor | undefined;

  /**
   * @param plain the pool of the members' buffers
   * @param stop ends the waiting for memory
   */
  constructor(
    key: ArchiveKey,
    { cut, compressionFilter }: { cut: Cut; compressionFilter: Coffer1Filter | undefined },
    plain: BufferPool,
    stop: AbortSignal,
    signal: AbortSignal,
  ) {
    this.#key = key;
    this.#cut = cut;
    this.#plain = plain;
    this.#frames = new BufferPool(mostStored(cut) * (COMPRESSED_AT_ONCE + FRAMES_BESIDE), stop);
    this.#compressor =
      compressionFilter && frameCompressor(compressionFilter, availableParallelism(), signal);
  }

  /** In their order. */
  sealed(members: AsyncIterable<PlainMember>): AsyncIterable<SealedMember> {
    const compressed = mapAhead(prefetch(members), COMPRESSED_AT_ONCE, (member) =>
      this.#compressed(member),
    );
    return prefetch(mapAhead(compressed, 2, (member) => this.#sealed(member)));
  }

  /** One that is compressed and sealed when it is its turn. */
  async seal(member: PlainMember): Promise<SealedMember> {
    return await this.#sealed(await this.#compressed(member));
  }

  /** Gives back the memory of a member that was stored. */
  release({ buffer, frame }: PlainMember): void {
    if (buffer !== undefined) this.#plain.give(buffer);
    if (frame !== undefined) this.#frames.give(frame);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#compressor?.[Symbol.asyncDispose]();
  }

  /** Makes a frame of the member. */
  async #compressed(member: PlainMember): Promise<PlainMember> {
    if (this.#compressor === undefined) return member;
    const { buffer, ...rest } = member;
    const room = member.bytes.length + mostStored(this.#cut) - this.#cut.partSize;
    const frame = await this.#frames.take(room);
    const bytes = await this.#compressor.compress(member.bytes, frame);
    if (buffer !== undefined) this.#plain.give(buffer);
    return { ...rest, bytes, frame };
  }

  async #sealed(member: PlainMember): Promise<SealedMember> {
    const { name, bytes, part } = member;
    const backupId = part?.place.backupId ?? this.#key.backupId;
    return { ...member, mac: await sealMember({ ...this.#key, backupId }, name, bytes) };
  }
}
