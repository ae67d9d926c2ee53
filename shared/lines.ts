/**
 * The lines of a text that comes in chunks of any length, without their ends; those of a chunk at a time, as there may be
 * millions. The last one need not have an end.
 *
 * @param longest the longest line that is accepted, in characters
 * @param tooLong what is thrown for a longer one
 */
export async function* linesIn(
  chunks: AsyncIterable<string>,
  longest: number,
  tooLong: () => Error,
): AsyncGenerator<readonly string[], void, undefined> {
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > longest) throw tooLong();
    yield lines;
  }
  if (rest !== '') yield [rest];
}
