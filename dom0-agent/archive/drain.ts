/** Reads a source to its end, for its errors. */
export async function drain(source: AsyncIterable<unknown>): Promise<void> {
  const items = source[Symbol.asyncIterator]();
  while ((await items.next()).done !== true);
}
