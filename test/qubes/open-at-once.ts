/** Something that is held before it is opened. */
interface Held<Opened> extends AsyncDisposable {
  open(signal: AbortSignal): Promise<Opened>;
}

/** Opens something that is held; disposing of the result closes and releases it. */
export async function openAtOnce<Opened extends AsyncDisposable>(
  holding: Promise<Held<Opened>>,
): Promise<Opened> {
  const held = await holding;
  try {
    const opened = await held.open(new AbortController().signal);
    return {
      ...opened,
      async [Symbol.asyncDispose]() {
        await opened[Symbol.asyncDispose]();
        await held[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await held[Symbol.asyncDispose]();
    throw error;
  }
}
