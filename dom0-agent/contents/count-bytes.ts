/** The same chunks; `count` is told the length of each once it has been taken. */
export async function* countBytes(
  source: AsyncIterable<Buffer>,
  count: (bytes: number) => void,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const chunk of source) {
    yield chunk;
    count(chunk.length);
  }
}
