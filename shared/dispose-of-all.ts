/** Disposes of all, one after the other, whether that fails for some or not; throws the first error afterwards. */
export async function disposeOfAll(all: Iterable<AsyncDisposable>): Promise<void> {
  const errors: unknown[] = [];
  for (const each of all) {
    try {
      await each[Symbol.asyncDispose]();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}
