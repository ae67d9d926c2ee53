/**
 * The lines of a text that comes in chunks of any length, without their line feeds. They come in batches, one for each
 * chunk, since there may be millions.
 *
 * @param longest how much of a line is kept, in characters, while its end has not come
 * @param tooLong makes the error that is thrown for a longer line
 * @param unfinished makes the error that is thrown if the last line does not end with a line feed; without it, that is
 *   a line like any other
 */
export async function* linesIn(
  chunks: AsyncIterable<string>,
  longest: number,
  tooLong: () => Error,
  unfinished?: () => Error,
): AsyncGenerator<readonly string[], void, undefined> {
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > longest) throw tooLong();
    yield lines;
  }
  if (rest === '') return;
  if (unfinished !== undefined) throw unfinished();
  yield [rest];
}
