import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Qubes4Manifest } from '../../../dom0-agent/archive/qubes4/qubes4-manifest.ts';

interface Member {
  readonly size: number;
  readonly mac: string;
}
const members = fc.array(
  fc.record({
    size: fc.integer({ min: 0, max: 2 ** 30 }),
    mac: fc.stringMatching(/^[0-9a-f]{64}$/),
  }),
  { maxLength: 12 },
);

function manifestOf(members: readonly Member[], isKnown = true): Qubes4Manifest {
  const manifest = new Qubes4Manifest();
  for (const [number, { size, mac }] of members.entries()) {
    const name = `vm${number}/private.img.000.enc`;
    manifest.add({ name, size, mac: isKnown ? mac : undefined });
  }
  return manifest;
}

const textOf = (manifest: Qubes4Manifest): Buffer => Buffer.concat([...manifest.text()]);

describe('the text of the manifest of a format 4 archive', () => {
  it('agrees only with the members that it lists', () => {
    fc.assert(
      fc.property(members, members, (listed, others) => {
        const text = textOf(manifestOf(listed));
        manifestOf(listed).compareWith(text);
        if (JSON.stringify(listed) === JSON.stringify(others)) return;
        expect(() => manifestOf(others).compareWith(text)).toThrow(
          /manifest|which does not|missing/,
        );
      }),
    );
  });

  it('agrees with members whose MACs are not known, but not if a byte of it is missing', () => {
    fc.assert(
      fc.property(members, fc.nat(), (listed, at) => {
        const text = textOf(manifestOf(listed));
        const read = manifestOf(listed, false);
        read.compareWith(text);
        const position = at % text.length;
        const shorter = Buffer.concat([text.subarray(0, position), text.subarray(position + 1)]);
        expect(() => read.compareWith(shorter)).toThrow('the backup');
      }),
    );
  });

  it('shows which member is missing or does not belong there', () => {
    const member = { size: 1, mac: 'a'.repeat(64) };
    const one = manifestOf([member]);
    const two = manifestOf([member, member]);
    expect(() => one.compareWith(textOf(two))).toThrow(/vm1\/private\.img\.000\.enc is missing/);
    expect(() => two.compareWith(textOf(one))).toThrow(/vm1\/private\.img\.000\.enc, which does/);
  });
});
