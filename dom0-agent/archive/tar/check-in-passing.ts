import { DamagedError } from '../../../shared/errors.ts';
import { untar } from './inner-reader.ts';

/** What has been found out about a tar that another program makes or takes. */
export interface TarCheck {
  /** How many members have been seen so far, complete or not. */
  members: number;
  /** Why the tar is not valid, once it was read: it breaks off, lacks its end, or is malformed. */
  problem: DamagedError | undefined;
}

/**
 * Passes the chunks of `tar` on unchanged, and notes in `check` whether they are a complete tar, by the reader that
 * verifies backups. A tar that is not is passed on all the same. Errors of `tar` itself come out as they are.
 */
export async function* checkInPassing(
  tar: AsyncIterable<Buffer>,
  name: string,
  check: TarCheck,
): AsyncGenerator<Buffer, void, undefined> {
  const source = tar[Symbol.asyncIterator]();
  /** What the reader has taken and the consumer has not been given. */
  const taken: Buffer[] = [];
  const sourceError = { isThrown: false };
  // Without `return`: a reader that gives up does not end the source.
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
          // Most members are within one chunk.
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
