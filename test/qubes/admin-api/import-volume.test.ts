import { mkdirSync, readFileSync, writeFileSync, existsSync } from 'node:fs';
import { dirname } from 'node:path';

import { expect, it } from 'vitest';

import { openQubesdSystem } from '../../../dom0-agent/qubes/admin-api/qubesd-system.ts';
import type { DataPiece } from '../../../shared/sparse-data.ts';
import { FailedError, InterruptedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';
import { makeImportService, makeSudo } from '../../qubesd/programs.ts';
import { makeScene, type Scene } from '../../qubesd/scene.ts';
import { imagePath } from '../../qubesd/volumes.ts';

const never = new AbortController().signal;
const SIZE = 5 * MiB;

async function* pieces(...list: [number, string][]): AsyncGenerator<DataPiece> {
  for (const [offset, text] of list) {
    yield await Promise.resolve({ offset, bytes: Buffer.from(text) });
  }
}

/** The system of a scene in which the private volume of `work` contains `old content`. */
function prepared(scene: Scene, options: { fullAfter?: number; sudo?: string } = {}) {
  const { store, socketPath } = scene.qubesd;
  const volume = store.qubes.get('work')?.volumes.get('private');
  if (volume === undefined) throw new Error('no volume');
  const image = imagePath(store, volume);
  mkdirSync(dirname(image), { recursive: true });
  writeFileSync(image, 'old content');
  const system = openQubesdSystem({
    socketPath,
    importService: makeImportService(scene.directory, socketPath, options.fullAfter),
    rootPrefix: options.sudo === undefined ? [] : [options.sudo, '-n', '--'],
  });
  const isOld = () =>
    readFileSync(image, 'utf8') === 'old content' &&
    !existsSync(image.replace('.img', '-import.img'));
  return { system, image, isOld };
}

it('importVolume writes pieces at their offsets and zeros between them', async () => {
  await using scene = await makeScene();
  const { system, image } = prepared(scene);
  const given = pieces([3, 'abc'], [6, 'def'], [2 * MiB, 'middle'], [SIZE - 3, 'end']);
  await system.importVolume('work', 'private', SIZE, given, never);
  const expected = Buffer.alloc(SIZE);
  expected.write('abcdef', 3);
  expected.write('middle', 2 * MiB);
  expected.write('end', SIZE - 3);
  expect(readFileSync(image).equals(expected)).toBe(true);
});

it.each([1, 2, MiB, SIZE])('importVolume writes %i bytes of zeros', async (size) => {
  await using scene = await makeScene();
  const { system, image } = prepared(scene);
  await system.importVolume('work', 'private', size, pieces(), never);
  expect(readFileSync(image).equals(Buffer.alloc(size))).toBe(true);
});

it('importVolume writes a volume of one byte', async () => {
  await using scene = await makeScene();
  const { system, image } = prepared(scene);
  await system.importVolume('work', 'private', 1, pieces([0, 'x']), never);
  expect(readFileSync(image, 'utf8')).toBe('x');
});

it('importVolume uses sudo, with the VM in the environment of the service', async () => {
  await using scene = await makeScene();
  const sudo = makeSudo(scene.directory);
  const { system, image } = prepared(scene, { sudo: sudo.path });
  await system.importVolume('work', 'private', 4, pieces([0, 'good']), never);
  expect(readFileSync(image, 'utf8')).toBe('good');
  expect(sudo.log()).toMatch(
    /^env QREXEC_REMOTE_DOMAIN=dom0 QREXEC_REQUESTED_TARGET=work \S+ImportWithSize private\n$/,
  );
});

it('importVolume keeps the old content if the data fails, even after its last byte', async () => {
  await using scene = await makeScene();
  const { system, isOld } = prepared(scene);
  for (const offset of [0, SIZE - 3]) {
    async function* broken() {
      yield* pieces([offset, 'end']);
      throw new FailedError('the MAC is wrong');
    }
    const imported = system.importVolume('work', 'private', SIZE, broken(), never);
    await expect(imported).rejects.toThrow('the MAC is wrong');
    expect(isOld()).toBe(true);
  }
});

it('importVolume keeps the old content if pieces overlap or exceed the size', async () => {
  await using scene = await makeScene();
  const { system, isOld } = prepared(scene);
  for (const list of [
    [
      [10, 'abc'],
      [12, 'd'],
    ],
    [[SIZE - 2, 'abc']],
  ] as [number, string][][]) {
    const imported = system.importVolume('work', 'private', SIZE, pieces(...list), never);
    await expect(imported).rejects.toThrow(
      /the volume private of work was given data out of place/,
    );
    expect(isOld()).toBe(true);
  }
});

it('importVolume keeps the old content if it is interrupted', async () => {
  await using scene = await makeScene();
  const { system, isOld } = prepared(scene);
  const controller = new AbortController();
  async function* stopped() {
    yield* pieces([0, 'abc']);
    controller.abort();
    yield* pieces([SIZE - 3, 'end']);
  }
  const imported = system.importVolume('work', 'private', SIZE, stopped(), controller.signal);
  await expect(imported).rejects.toThrow(InterruptedError);
  expect(isOld()).toBe(true);
});

it('importVolume stops reading data if the pool is full, and reports the error of the service', async () => {
  await using scene = await makeScene();
  const { system, isOld } = prepared(scene, { fullAfter: MiB });
  let given = 0;
  async function* endless() {
    const bytes = Buffer.alloc(64 * 1024, 1);
    for (; given < 10_000; given += 1) {
      yield await Promise.resolve({ offset: given * bytes.length, bytes });
    }
  }
  const imported = system.importVolume('work', 'private', 10_000 * 65_536, endless(), never);
  await expect(imported).rejects.toThrow(
    /the import of the volume private of work: Data import failed: error copying data/,
  );
  expect(given).toBeLessThan(1000);
  expect(isOld()).toBe(true);
});

it('importVolume says why a volume cannot be written', async () => {
  await using scene = await makeScene();
  const { system } = prepared(scene);
  const write = (vm: string, volume: string) =>
    system.importVolume(vm, volume, 3, pieces([0, 'abc']), never);
  await expect(write('nosuch', 'private')).rejects.toThrow(/No such domain: 'nosuch'/);
  await expect(write('work', 'root')).rejects.toThrow(/no answer to the import of the volume root/);
  await system.start('work');
  await expect(write('work', 'private')).rejects.toThrow(/not powered off: 'work'/);
});

it('importVolume names a missing service', async () => {
  await using scene = await makeScene();
  const { socketPath } = scene.qubesd;
  const importService = '/nowhere/ImportWithSize';
  const system = openQubesdSystem({ socketPath, importService, rootPrefix: [] });
  const imported = system.importVolume('work', 'private', 3, pieces(), never);
  await expect(imported).rejects.toThrow(/private of work.*nowhere\/ImportWithSize/);
});

it('importVolume writes many large pieces', async () => {
  await using scene = await makeScene();
  const { system, image } = prepared(scene);
  const [bytes, zeros] = [Buffer.alloc(MiB, 7), Buffer.alloc(MiB)];
  async function* much() {
    for (let i = 0; i < 64; i += 1) yield await Promise.resolve({ offset: i * 2 * MiB, bytes });
  }
  await system.importVolume('work', 'private', 128 * MiB, much(), never);
  const written = readFileSync(image);
  expect(written).toHaveLength(128 * MiB);
  for (let i = 0; i < 64; i += 1) {
    expect(written.subarray(i * 2 * MiB, (i * 2 + 1) * MiB).equals(bytes)).toBe(true);
    expect(written.subarray((i * 2 + 1) * MiB, (i + 1) * 2 * MiB).equals(zeros)).toBe(true);
  }
});
