import { DamagedError } from '../../../shared/errors.ts';
import { untar } from './inner-reader.ts';

/** The result of checking a tar that another program writes or reads. */
export interface TarCheck {
  /** How many members have been seen so far, complete or not. */
  members: number;
  /** Why the tar is invalid, after it has been read: it is cut short, lacks its end, or is malformed. */
  problem: DamagedError | undefined;
}

/**
 * Passes on the chunks of `tar` unchanged, and records in `check` whether they are a complete tar, according to
 * the reader that verifies backups. An invalid tar is passed on as well. Errors of `tar` itself are thrown
 * unchanged.
 */
export async function* checkInPassing(
  tar: AsyncIterable<Buffer>,
  name: string,
  check: TarCheck,
): AsyncGenerator<Buffer, void, undefined> {
  const source = tar[Symbol.asyncIterator]();
  /** What the reader has read and the consumer has not received yet. */
  const taken: Buffer[] = [];
  const sourceError = { isThrown: false };
  // Without `return`: when the reader gives up, the source goes on.
  const tee: AsyncIterable<Buffer> = {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        try {
          const result = await source.next();
          if (result.done !== true) taken.push(result.value);
          return result;
        } catch (error) {
          sourceError.isThrown = true;
          throw error;
        }
      },
    }),
  };
  try {
    try {
      for await (const member of untar(tee, name)) {
        check.members++;
        const pieces = member.pieces()[Symbol.asyncIterator]();
        do {
          // Most members fit in one chunk.
          if (taken.length > 0) yield* taken.splice(0);
        } while ((await pieces.next()).done !== true);
      }
    } catch (error) {
      if (sourceError.isThrown || !(error instanceof DamagedError)) throw error;
      check.problem = error;
    }
    yield* taken.splice(0);
    for (let next = await source.next(); next.done !== true; next = await source.next()) {
      yield next.value;
    }
  } finally {
    await source.return?.();
  }
}
