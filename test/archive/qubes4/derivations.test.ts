import { randomBytes, scryptSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Derivations } from '../../../dom0-agent/archive/qubes4/derivations.ts';
import { FailedError } from '../../../shared/errors.ts';

const MiB = 2 ** 20;
const parameters = { n: 2 ** 14, r: 8, p: 1, salt: randomBytes(32) };
const secret = Buffer.from('secret');
const { signal } = new AbortController();

describe('key derivations of format 4', () => {
  test("give the two halves of scrypt's output", async () => {
    const { cipher, mac } = await new Derivations().derive(
      'place',
      Buffer.from('ä'),
      parameters,
      signal,
    );
    const whole = scryptSync(Buffer.from('place!ä'), parameters.salt, 64, {
      N: 2 ** 14,
      maxmem: 64 * MiB,
    });
    expect(Buffer.concat([cipher, mac])).toEqual(whole);
  });

  test.each([
    ['side by side', 2, Infinity, ['light', 'heavy']],
    ['one after the other if there is one processor', 1, Infinity, ['heavy', 'light']],
    ['one after the other if there is not enough memory for two', 2, 128 * MiB, ['heavy', 'light']],
  ])('run %s', async (_, mostAtOnce, memory, expected) => {
    const derivations = new Derivations(mostAtOnce, memory);
    const order: string[] = [];
    const derive = async (name: string, n: number): Promise<void> => {
      await derivations.derive('x', secret, { ...parameters, n }, signal);
      order.push(name);
    };
    await Promise.all([derive('heavy', 2 ** 17), derive('light', 2 ** 10)]);
    expect(order).toEqual(expected);
  });

  test('run even if there is not enough memory for one', async () => {
    await expect(
      new Derivations(1, 0).derive('x', secret, parameters, signal),
    ).resolves.toBeDefined();
  });

  test('that are waiting are cancelled when reading is cancelled', async () => {
    const derivations = new Derivations(1, 0);
    const abort = new AbortController();
    const first = derivations.derive('x', secret, parameters, signal);
    const second = derivations.derive('x', secret, parameters, abort.signal);
    abort.abort();
    await expect(second).rejects.toThrow();
    await first;
  });

  test('fail with a FailedError if OpenSSL refuses them', async () => {
    const impossible = { ...parameters, n: 3 };
    await expect(new Derivations().derive('x', secret, impossible, signal)).rejects.toThrow(
      FailedError,
    );
  });
});
