import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ListedMember,
  Manifest,
  type ManifestForm,
  parseManifest,
} from '../../../dom0-agent/archive/parts/manifest.ts';
import { partName } from '../../../dom0-agent/archive/parts/part-name.ts';
import { MANIFEST as QUBES_4 } from '../../../dom0-agent/archive/qubes4/qubes4-header.ts';
import { DamagedError } from '../../../shared/errors.ts';

/** A form that lists files, too. */
const WITH_FILES: ManifestForm = {
  ...{ path: 'manifest', firstLine: 'a manifest', macLength: 128, listsFiles: true },
};

const hex = (length: number): fc.Arbitrary<string> =>
  fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`));

/** Files, each as the sizes and MACs of its parts. */
const filesFor = ({ macLength }: ManifestForm) =>
  fc.array(
    fc.array(fc.record({ size: fc.integer({ min: 0, max: 2 ** 30 }), mac: hex(macLength) }), {
      minLength: 1,
      maxLength: 3,
    }),
    { maxLength: 5 },
  );
type Files = { size: number; mac: string }[][];

function manifestOf(form: ManifestForm, files: Files, isKnown = () => true): Manifest {
  const manifest = new Manifest(form);
  for (const [number, parts] of files.entries()) {
    for (const [index, { size, mac }] of parts.entries()) {
      const part = partName(`vm${number}/private.img`, index);
      manifest.add({ name: part.name, size, mac: isKnown() ? mac : undefined }, part);
    }
  }
  return manifest;
}

const textOf = (manifest: Manifest): Buffer => Buffer.concat([...manifest.text()]);

describe.each([
  ['coffer-1', WITH_FILES],
  ['format 4', QUBES_4],
])('the manifest of %s', (_, form) => {
  it('differs from no other list than that of the members that came', () => {
    fc.assert(
      fc.property(filesFor(form), filesFor(form), (files, others) => {
        const text = textOf(manifestOf(form, files));
        expect(manifestOf(form, files).differenceFrom(text)).toBeUndefined();
        const isSame = JSON.stringify(files) === JSON.stringify(others);
        expect(manifestOf(form, others).differenceFrom(text) === undefined).toBe(isSame);
      }),
    );
  });

  it('agrees with members whose MACs are not known, as long as all else is the same', () => {
    fc.assert(
      fc.property(filesFor(form), fc.nat(), (files, at) => {
        const text = textOf(manifestOf(form, files));
        const came = manifestOf(form, files, () => false);
        expect(came.differenceFrom(text)).toBeUndefined();
        const position = at % text.length;
        const shorter = Buffer.concat([text.subarray(0, position), text.subarray(position + 1)]);
        expect(came.differenceFrom(shorter)).toBeDefined();
      }),
    );
  });

  it('is read as it was written, and in no other form', () => {
    fc.assert(
      fc.property(filesFor(form), fc.nat(), fc.nat(255), (files, at, byte) => {
        const manifest = manifestOf(form, files);
        const text = textOf(manifest);
        const { members } = parseManifest(text, form);
        expect(members.map(({ size, mac }) => ({ size, mac }))).toEqual(files.flat());
        const changed = Buffer.from(text);
        changed[at % text.length] = byte;
        let parsed: readonly ListedMember[] | undefined;
        try {
          parsed = parseManifest(changed, form).members;
        } catch (error) {
          expect(error).toBeInstanceOf(DamagedError);
        }
        if (!changed.equals(text)) expect(parsed).not.toEqual(members);
      }),
    );
  });

  it('names the member that is missing or does not belong there', () => {
    const files = [[{ size: 1, mac: 'a'.repeat(form.macLength) }]];
    const one = manifestOf(form, files);
    const two = manifestOf(form, [...files, ...files]);
    expect(one.differenceFrom(textOf(two))).toMatch(/vm1\/private\.img\.000 is missing/);
    expect(two.differenceFrom(textOf(one))).toMatch(/vm1\/private\.img\.000, which does not/);
  });
});

it('the parts of a file are listed in their order only', () => {
  const manifest = new Manifest(WITH_FILES);
  const part = partName('vm1/private.img', 1);
  expect(() => manifest.add({ name: part.name, size: 1, mac: 'a' }, part)).toThrow(DamagedError);
});
