import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';

import { RootFileHolder } from '../../../dom0-agent/qubes/pools/root-file-holder.ts';
import { eventually } from '../../eventually.ts';

async function makeDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'coffer-holder-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  return directory;
}

const processOf = (path: string): string => /^\/proc\/\d+/.exec(path)?.[0] ?? expect.fail(path);

describe('files that only root may open', () => {
  it('are held by one process even if they are replaced; it ends when the last is released', async () => {
    const directory = await makeDirectory();
    const holder = new RootFileHolder(['env', '--']);
    const held = [];
    for (let i = 0; i < 30; i++) {
      const path = join(directory, `name with $spaces ${i}`);
      await writeFile(path, `old ${i}`);
      held.push(await holder.hold(path, 'the volume'));
      await writeFile(`${path}.new`, 'new');
      await rename(`${path}.new`, path);
    }
    const [holding, ...others] = new Set(held.map(({ path }) => processOf(path)));
    expect(others).toEqual([]);
    for (const [i, { path }] of held.entries()) {
      expect(await readFile(path, 'utf8')).toBe(`old ${i}`);
    }
    const [first, ...rest] = held;
    await first?.[Symbol.asyncDispose]();
    await eventually(() => !existsSync(first?.path ?? ''), 'the first to be released');
    expect(await readFile(rest[0]?.path ?? '', 'utf8')).toBe('old 1');
    for (const each of rest) await each[Symbol.asyncDispose]();
    await eventually(() => !existsSync(holding ?? ''), 'the end of the process');
  });

  it('can be held again after all were released', async () => {
    const path = join(await makeDirectory(), 'file');
    await writeFile(path, 'content');
    const holder = new RootFileHolder(['env', '--']);
    for (let time = 0; time < 2; time++) {
      await using held = await holder.hold(path, 'the volume');
      expect(await readFile(held.path, 'utf8')).toBe('content');
    }
  });

  it('are held although a .bashrc of root prints something, or ends the shell', async () => {
    const directory = await makeDirectory();
    const path = join(directory, 'file');
    await writeFile(path, 'content');
    await writeFile(join(directory, '.bashrc'), 'echo Welcome; exit 9');
    await using held = await new RootFileHolder(['env', `HOME=${directory}`]).hold(path, 'it');
    expect(await readFile(held.path, 'utf8')).toBe('content');
  });

  it('stay held when those of a process that was killed are released', async () => {
    const directory = await makeDirectory();
    const paths = ['one', 'two'].map((name) => join(directory, name));
    for (const path of paths) await writeFile(path, path);
    const [one = '', two = ''] = paths;
    const holder = new RootFileHolder(['env', '--']);
    const lost = await holder.hold(one, 'the volume');
    process.kill(Number(processOf(lost.path).slice('/proc/'.length)), 'SIGKILL');
    await eventually(() => !existsSync(lost.path), 'the end of the process');
    await expect(holder.hold(two, 'the volume')).rejects.toThrow('cannot be read as root');
    await using held = await holder.hold(two, 'the volume');
    await lost[Symbol.asyncDispose]();
    await using other = await holder.hold(one, 'the volume');
    expect(await readFile(held.path, 'utf8')).toBe(two);
    expect(await readFile(other.path, 'utf8')).toBe(one);
  });

  it('are left to their reader, which reports the error, if they cannot be opened', async () => {
    const path = join(await makeDirectory(), 'missing');
    const holder = new RootFileHolder(['env', '--']);
    await using held = await holder.hold(path, 'the volume');
    expect(held.path).toBe(path);
  });

  it('cannot be held, with an error, if no program can run as root', async () => {
    const holder = new RootFileHolder(['sh', '-c', 'echo no such luck >&2; exit 1']);
    for (let time = 0; time < 2; time++) {
      await expect(holder.hold('/x', 'the volume private of work')).rejects.toThrow(
        'the volume private of work cannot be read as root: no such luck',
      );
    }
  });
});
