import { DamagedError } from '../../../shared/errors.ts';
import { untar } from './inner-reader.ts';

/** What was seen of a tar that another program makes or takes. */
export interface Followed {
  /** How many members were seen so far, whole or not. */
  members: number;
  /** Why the tar is not whole, once it was read: it breaks off, lacks its end, or is malformed. */
  problem: DamagedError | undefined;
}

/**
 * Passes the chunks of `tar` on, and notes in `seen` whether they are a whole tar with its end, by
 * the reader that verifies backups. A tar that is not whole is passed on all the same. Errors of
 * `tar` itself come out as they are.
 */
export async function* follow(
  tar: AsyncIterable<Buffer>,
  name: string,
  seen: Followed,
): AsyncGenerator<Buffer, void, undefined> {
  const source = tar[Symbol.asyncIterator]();
  const read = { passed: [] as Buffer[], sourceFailed: false };
  // Without `return`: a reader that gives up does not end the source.
  const noted: AsyncIterable<Buffer> = {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        try {
          const result = await source.next();
          if (result.done !== true) read.passed.push(result.value);
          return result;
        } catch (error) {
          read.sourceFailed = true;
          throw error;
        }
      },
    }),
  };
  try {
    try {
      for await (const member of untar(noted, name)) {
        seen.members++;
        const pieces = member.pieces()[Symbol.asyncIterator]();
        do {
          // Most members are within one chunk.
          if (read.passed.length > 0) yield* read.passed.splice(0);
        } while ((await pieces.next()).done !== true);
      }
    } catch (error) {
      if (read.sourceFailed || !(error instanceof DamagedError)) throw error;
      seen.problem = error;
    }
    yield* read.passed.splice(0);
    for (let next = await source.next(); next.done !== true; next = await source.next()) {
      yield next.value;
    }
  } finally {
    await source.return?.();
  }
}
