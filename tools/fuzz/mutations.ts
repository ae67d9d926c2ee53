import fc from 'fast-check';
import type { Target } from './target.ts';

/** Numbers that parsers often get wrong, as text and as bytes. */
const NUMBERS = ['0', '-1', '9007199254740991', '9007199254740993', '18446744073709551615', '1e9'];
const EDGES = [0, 1, 0x7f, 0x80, 0xff];

type Change = (input: Buffer) => Buffer;

/** Inputs for a target: valid ones with a few changes, and sometimes random ones. */
export function inputsFor(target: Target): fc.Arbitrary<Buffer> {
  const seeds = target.seeds();
  const words = [...target.words, ...NUMBERS].map((word) => Buffer.from(word));
  const changes = fc.array(change(words), { minLength: 1, maxLength: 6 });
  const damaged = fc
    .tuple(fc.nat(seeds.length - 1), changes, fc.boolean())
    .map(([seed, all, isRepaired]) => {
      const input = all.reduce((bytes, one) => one(bytes), seeds[seed] ?? Buffer.alloc(0));
      return isRepaired && target.repair !== undefined ? target.repair(input) : input;
    });
  const made = fc
    .array(fc.oneof(fc.constantFrom(...words), noise()), { maxLength: 40 })
    .map((pieces) => Buffer.concat(pieces));
  return fc.oneof({ weight: 20, arbitrary: damaged }, { weight: 1, arbitrary: made });
}

function noise(): fc.Arbitrary<Buffer> {
  return fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes));
}

/**
 * A change of an input. Places are fractions of its length, so that a change can be applied to an input of any size.
 */
function change(words: readonly Buffer[]): fc.Arbitrary<Change> {
  // Not fc.double, whose numbers are nearly all close to zero.
  const place = fc.noBias(fc.nat(2 ** 31 - 1)).map((number) => number / 2 ** 31);
  const length = fc.oneof(fc.nat(16), fc.constantFrom(512, 1024, 4096));
  const word = fc.constantFrom(...words);
  return fc.oneof(
    fc.tuple(place, fc.nat(7)).map(([at, bit]) => flip(at, bit)),
    fc
      .tuple(place, fc.constantFrom(...EDGES))
      .map(([at, value]) => overwrite(at, Buffer.of(value))),
    fc.tuple(place, word).map(([at, bytes]) => overwrite(at, bytes)),
    fc.tuple(place, fc.oneof(word, noise())).map(([at, bytes]) => replace(at, 0, bytes)),
    fc.tuple(place, length).map(([at, cut]) => replace(at, cut, Buffer.alloc(0))),
    fc.tuple(place, length, word).map(([at, cut, bytes]) => replace(at, cut, bytes)),
    fc.tuple(place, place, length).map(([from, to, count]) => copy(from, to, count)),
    place.map((at) => (input: Buffer) => input.subarray(0, at * input.length)),
  );
}

function flip(at: number, bit: number): Change {
  return (input) => {
    const changed = Buffer.from(input);
    const place = Math.floor(at * input.length);
    if (input.length > 0) changed.writeUInt8(changed.readUInt8(place) ^ (1 << bit), place);
    return changed;
  };
}

function overwrite(at: number, bytes: Buffer): Change {
  return (input) => {
    const changed = Buffer.from(input);
    bytes.copy(changed, Math.floor(at * input.length));
    return changed;
  };
}

function replace(at: number, count: number, bytes: Buffer): Change {
  return (input) => {
    const place = Math.floor(at * input.length);
    return Buffer.concat([input.subarray(0, place), bytes, input.subarray(place + count)]);
  };
}

/** Inserts a copy of a piece of the input in another place. */
function copy(from: number, to: number, count: number): Change {
  return (input) => {
    const place = Math.floor(from * input.length);
    return replace(to, 0, input.subarray(place, place + count))(input);
  };
}
