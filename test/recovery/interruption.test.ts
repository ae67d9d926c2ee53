import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { noise } from '../archive/official-archives.ts';
import { coffer1Backup, smallFile } from './backups.ts';
import { Recovery, SHELLS } from './script.ts';

const FILES = 60;
const CONTENT = noise(5000);
const many = Array.from({ length: FILES }, (_, i) => smallFile(`vm5/${i}.img`, CONTENT));
const backup = await coffer1Backup(many);

/** Checks that every file under its final name is complete, and that there are no other files. */
function expectNothingHalf(recovery: Recovery): void {
  const recovered = recovery.recovered();
  expect(recovered.length).toBeLessThan(FILES + 1);
  expect(recovered.filter((file) => !/^(vm5\/\d+\.img|qubes\.xml)$/.test(file))).toEqual([]);
  for (const file of recovered.filter((name) => name.endsWith('.img'))) {
    expect(recovery.read(file).equals(CONTENT)).toBe(true);
  }
  expect(recovery.leftovers()).toEqual([]);
}

describe('recover.sh leaves only complete files if it is interrupted', () => {
  it.each([
    ...SHELLS.map((shell) => ['SIGTERM', shell] as const),
    ['SIGINT', 'dash'],
    ['SIGINT', 'bash --posix'],
  ] as const)('by %s to all its processes (%s)', async (interruption, shell) => {
    using recovery = new Recovery(backup, shell);
    const child = recovery.start();
    const ended = once(child, 'exit');
    await once(child.stdout, 'data');
    process.kill(-(child.pid ?? NaN), interruption);
    expect(await ended).toEqual([130, null]);
    expectNothingHalf(recovery);
  });

  it.each(SHELLS)('by the end of what reads its output (%s)', async (shell) => {
    using recovery = new Recovery(backup, shell);
    const child = recovery.start();
    const ended = once(child, 'exit');
    await once(child.stdout, 'data');
    child.stdout.destroy();
    expect(await ended).toEqual([1, null]);
    expectNothingHalf(recovery);
  });

  it.each(SHELLS)('by SIGTERM to itself only, at any time (%s)', async (shell) => {
    for (const milliseconds of [0, 4, 13, 30, 55]) {
      using recovery = new Recovery(backup, shell);
      const child = recovery.start();
      const ended = once(child, 'exit');
      await once(child.stdout, 'data');
      await pause(milliseconds);
      child.kill('SIGTERM');
      expect(await ended, `after ${milliseconds} ms`).toEqual([130, null]);
      expectNothingHalf(recovery);
    }
  });
});

it.each(SHELLS)('recover.sh works, and cleans up, with standard error closed (%s)', (shell) => {
  using recovery = new Recovery(backup.subarray(0, backup.length - 512), shell);
  expect(recovery.recoverWithoutStandardError()).toMatchObject({ status: 3 });
  expect(recovery.leftovers()).toEqual([]);
});
