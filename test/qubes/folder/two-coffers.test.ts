import { execFile } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { readdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

import { newOwnerName } from '../../../dom0-agent/qubes/owner-names.ts';
import { never, pieces, smallSystem } from './small-system.ts';

const ROOT = join(import.meta.dirname, '../../..');

/** Runs `code` in another process, with `system` as a variable. */
async function elsewhere(directory: string, code: string): Promise<void> {
  const program = `
    import { openFolderSystem } from './dom0-agent/qubes/folder/folder-system.ts';
    const system = await openFolderSystem(process.argv[1]);
    ${code}`;
  await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '-e', program, directory],
    { cwd: ROOT },
  );
}

describe('two coffers on one folder system', () => {
  it('lose none of their changes', async () => {
    const { directory, system } = await smallSystem();
    const setting = (prefix: string): string =>
      `for (let i = 0; i < 15; i++) await system.setFeature('work', '${prefix}' + i, 'x');`;
    await Promise.all([
      elsewhere(directory, setting('a')),
      elsewhere(directory, setting('b')),
      ...Array.from({ length: 15 }, (_, i) => system.setFeature('work', `c${i}`, 'x')),
    ]);
    const work = (await system.qubes()).find(({ name }) => name === 'work');
    expect(work?.features.size).toBe(45);
    expect((await readdir(directory)).filter((name) => name.includes('coffer'))).toEqual([]);
    expect(await readdir(directory)).not.toContain('qubes.xml.lock');
  });

  it('wait for each other', async () => {
    const { directory, system } = await smallSystem();
    const lock = join(directory, 'qubes.xml.lock');
    await symlink(await newOwnerName(), lock);
    const waiting = system.setTag('work', 'late');
    const order: string[] = [];
    const done = waiting.then(() => order.push('done'));
    await new Promise((resolve) => setTimeout(resolve, 200));
    order.push('released');
    await promisify(execFile)('rm', [lock]);
    await done;
    expect(order).toEqual(['released', 'done']);
  });
});

it('the lock of a folder system always names its holder, so that it can be taken over if that was killed', async () => {
  const { directory, system } = await smallSystem();
  const changes = Array.from({ length: 15 }, (_, i) => system.setTag('work', `t${i}`));
  const seen = new Set<string>();
  const over = new AbortController();
  const all = Promise.all(changes).finally(() => over.abort());
  while (!over.signal.aborted) {
    const holder = holderOf(join(directory, 'qubes.xml.lock'));
    if (holder !== undefined) seen.add(holder);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await all;
  expect(seen.size).toBeGreaterThan(0);
  for (const holder of seen) expect(holder).toMatch(/^coffer\.\d+\.\d+\.[0-9a-f]{8}$/);
});

function holderOf(lock: string): string | undefined {
  try {
    return readlinkSync(lock);
  } catch {
    return undefined;
  }
}

describe('a coffer that was killed', () => {
  it('leaves a lock that the next one takes over', async () => {
    const { directory, system } = await smallSystem();
    await symlink('coffer.4194305.1.00000000', join(directory, 'qubes.xml.lock'));
    await system.setTag('work', 'next');
    expect(await readdir(directory)).not.toContain('qubes.xml.lock');
  });

  it('while it wrote a volume leaves the old content, and a file that the next one removes', async () => {
    const { directory, system } = await smallSystem();
    const code = `
      async function* killed() {
        yield { offset: 0, bytes: Buffer.from('half') };
        process.kill(process.pid, 'SIGKILL');
        await new Promise((resolve) => setTimeout(resolve, 10_000));
      }
      const { signal } = new AbortController();
      await system.importVolume('work', 'private', 100, killed(), signal);`;
    await expect(elsewhere(directory, code)).rejects.toMatchObject({ signal: 'SIGKILL' });
    const files = await readdir(join(directory, 'appvms/work'));
    expect(files).toHaveLength(2);
    const work = (await system.qubes()).find(({ name }) => name === 'work');
    expect(work?.volumes[1]).toMatchObject({ size: 2147483648, usage: 0 });

    await system.importVolume('work', 'private', 5, pieces([[0, 'whole']]), never);
    expect(await readdir(join(directory, 'appvms/work'))).toEqual(['private.img']);
    expect(await readFile(join(directory, 'appvms/work/private.img'), 'utf8')).toBe('whole');
  });
});
