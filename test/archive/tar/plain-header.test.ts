import fc from 'fast-check';
import { expect, it } from 'vitest';
import { encodeHeader, plainHeader } from '../../../dom0-agent/archive/tar/header-block.ts';
import { GiB } from '../../../shared/sizes.ts';

it('the header of a plain file is what tar-stream writes, byte for byte', async () => {
  const name = fc
    .array(fc.integer({ min: 0x20, max: 0x7e }), { minLength: 1, maxLength: 100 })
    .map((codes) => String.fromCodePoint(...codes));
  const size = fc.oneof(fc.nat(10_000), fc.integer({ min: 0, max: 9 * GiB }));
  await fc.assert(
    fc.asyncProperty(name, size, async (path, length) => {
      const [ours, theirs] = [await plainHeader(path, length), await encodeHeader(path, length)];
      expect(ours.toString('latin1')).toBe(theirs.toString('latin1'));
    }),
  );
});
