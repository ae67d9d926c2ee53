import { availableParallelism } from 'node:os';
import { BufferPool } from '../parts/buffer-pool.ts';
import { prefetch } from '../parts/prefetch.ts';
import { type Coffer1Filter, type Cut, mostStored } from './coffer1-header.ts';
import { type FrameCompressor, frameCompressor } from './frame-compressor.ts';
import { mapAhead } from './map-ahead.ts';
import { type ArchiveKey, sealMember } from './seal-member.ts';
import type { WrittenPart } from './written-so-far.ts';

/** A member that is not sealed yet. Its `buffer` and `frame` must be returned to their pools. */
export interface PlainMember {
  readonly name: string;
  readonly bytes: Buffer;
  /** Memory of the pool for plaintext. */
  readonly buffer?: Buffer;
  /** Memory of the pool for frames. */
  readonly frame?: Buffer;
  /** If it is a part of a volume. */
  readonly part?: WrittenPart;
}

/** A member whose `bytes` are as they are stored. */
export type SealedMember = PlainMember & { readonly mac: string };

/** How many members are compressed at the same time: one on each core, and one waits. */
export const COMPRESSED_AT_ONCE = availableParallelism() + 1;

/** How many frames there are besides those being compressed: two are sealed, one waits, one is written. */
const FRAMES_BESIDE = 4;

/** Compresses and seals members, several of them ahead of being stored. */
export class MemberSealer implements AsyncDisposable {
  readonly #key: ArchiveKey;
  readonly #cut: Cut;
  readonly #plain: BufferPool;
  /** For what is compressed: fresh memory for each would cost more than its encryption. */
  readonly #frames: BufferPool;
  readonly #compressor: FrameCompressor | undefined;

  /**
   * @param plain the pool of the members' buffers
   * @param stop ends waiting for memory
   * @param signal ends compressing
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

  /** The members in their order, compressed and sealed ahead. */
  sealed(members: AsyncIterable<PlainMember>): AsyncIterable<SealedMember> {
    const compressed = mapAhead(prefetch(members), COMPRESSED_AT_ONCE, (member) =>
      this.#compressed(member),
    );
    return prefetch(mapAhead(compressed, 2, (member) => this.#sealed(member)));
  }

  /** Compresses and seals a single member. */
  async seal(member: PlainMember): Promise<SealedMember> {
    return await this.#sealed(await this.#compressed(member));
  }

  /** Returns the memory of a member that has been stored. */
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
