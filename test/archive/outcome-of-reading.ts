import { expect } from 'vitest';
import { readAll } from './official-archives.ts';

/** The outcome of reading an archive as a file: `read`, or the error. Checks that a stream has the same outcome. */
export async function outcomeOfReading(bytes: Buffer, passphrase: string): Promise<unknown> {
  const [file, stream] = [
    await outcomeOf(readAll(bytes, passphrase, true)),
    await outcomeOf(readAll(bytes, passphrase, false)),
  ];
  expect(String(stream)).toBe(String(file));
  return file;
}

/** `read`, or the error of reading. */
export function outcomeOf(reading: Promise<unknown>): Promise<unknown> {
  return reading.then(
    () => 'read',
    (error: unknown) => error,
  );
}
