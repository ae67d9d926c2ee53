import { expect } from 'vitest';
import { readAll } from './official-archives.ts';

/** What comes of reading an archive as a file, `read` or the error; as a stream, it must come to the same. */
export async function outcomeOfReading(bytes: Buffer, passphrase: string): Promise<unknown> {
  const [file, stream] = [
    await outcomeOf(readAll(bytes, passphrase, true)),
    await outcomeOf(readAll(bytes, passphrase, false)),
  ];
  expect(String(stream)).toBe(String(file));
  return file;
}

/** `read`, or the error that reading ends with. */
export function outcomeOf(reading: Promise<unknown>): Promise<unknown> {
  return reading.then(
    () => 'read',
    (error: unknown) => error,
  );
}
