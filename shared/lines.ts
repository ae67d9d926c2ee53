/**
 * The lines of a text that comes in chunks of any length, without their line feeds. They come in batches, one for each
 * chunk, since there may be millions. The last line need not end with a line feed.
 *
 * @param longest how much of a line is kept, in characters, while its end has not come
 * @param tooLong makes the error that is thrown for a longer line
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
