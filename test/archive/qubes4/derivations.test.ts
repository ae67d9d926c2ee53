import { randomBytes, scryptSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Derivations } from '../../../dom0-agent/archive/qubes4/derivations.ts';
import { PartMemory } from '../../../dom0-agent/archive/qubes4/part-memory.ts';
import { FailedError } from '../../../shared/errors.ts';

const MiB = 2 ** 20;
const parameters = { n: 2 ** 14, r: 8, p: 1, salt: randomBytes(32) };
const secret = Buffer.from('secret');
const { signal } = new AbortController();

describe('derivations', () => {
  test('give the halves of what scrypt derives', async () => {
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
    ['one after the other for want of processors', 1, Infinity, ['heavy', 'light']],
    ['one after the other for want of memory', 2, 128 * MiB, ['heavy', 'light']],
  ])('go on %s', async (_, mostAtOnce, memory, expected) => {
    const derivations = new Derivations(mostAtOnce, memory);
    const order: string[] = [];
    const derive = async (name: string, n: number): Promise<void> => {
      await derivations.derive('x', secret, { ...parameters, n }, signal);
      order.push(name);
    };
    await Promise.all([derive('heavy', 2 ** 17), derive('light', 2 ** 10)]);
    expect(order).toEqual(expected);
  });

  test('do one even where memory is short', async () => {
    await expect(
      new Derivations(1, 0).derive('x', secret, parameters, signal),
    ).resolves.toBeDefined();
  });

  test('that wait are given up when the reading is', async () => {
    const derivations = new Derivations(1, 0);
    const abort = new AbortController();
    const first = derivations.derive('x', secret, parameters, signal);
    const second = derivations.derive('x', secret, parameters, abort.signal);
    abort.abort();
    await expect(second).rejects.toThrow();
    await first;
  });

  test('that OpenSSL cannot do are told as such', async () => {
    const impossible = { ...parameters, n: 3 };
    await expect(new Derivations().derive('x', secret, impossible, signal)).rejects.toThrow(
      FailedError,
    );
  });
});

describe('the memory for parts', () => {
  test('is waited for when there is no more', async () => {
    const memory = new PartMemory(10 * MiB);
    const first = await memory.take(8 * MiB, signal);
    let given = false;
    const second = memory.take(4 * MiB, signal).then((buffer) => {
      expect(given).toBe(true);
      return buffer;
    });
    given = true;
    memory.give(first, false);
    expect(await second).toHaveLength(4 * MiB);
  });

  test('is used again, unless somebody may be reading it', async () => {
    const memory = new PartMemory(10 * MiB);
    const first = await memory.take(8 * MiB, signal);
    memory.give(first, false);
    const second = await memory.take(7 * MiB, signal);
    expect(second.buffer).toBe(first.buffer);
    memory.give(second, true);
    expect((await memory.take(7 * MiB, signal)).buffer).not.toBe(first.buffer);
  });

  test('is given to one that asks for more than there is', async () => {
    expect(await new PartMemory(5).take(10, signal)).toHaveLength(10);
  });

  test('is not waited for when the reading is given up', async () => {
    const memory = new PartMemory(5);
    await memory.take(5, signal);
    const abort = new AbortController();
    const waiting = memory.take(1, abort.signal);
    abort.abort();
    await expect(waiting).rejects.toThrow();
  });
});
