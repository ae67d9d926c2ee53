import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { Dom0Storage } from '../../dom0-agent/transport/dom0-storage.ts';
import type { Storage } from '../../dom0-agent/transport/storage.ts';
import type { ByteSource, OpenedFile } from '../../shared/byte-streams.ts';
import { InterruptedError, RefusedError, StorageError } from '../../shared/errors.ts';
import { eventually } from '../eventually.ts';
import { Home, buildAgent } from './storage-vm.ts';

const { signal } = new AbortController();
const content = randomBytes(3_000_000);

beforeAll(buildAgent);

/** The same requirements, whether the storage is a VM or dom0; paths are absolute for both. */
describe.each<[string, (home: Home) => Storage]>([
  ['sys-usb', (home) => home.storage()],
  ['dom0', () => new Dom0Storage()],
])('the storage of %s', (owner, open) => {
  async function store(home: Home, data: Buffer, fileName = 'one') {
    const target = { directory: home.backups, fileName };
    await using sink = await open(home).openSink(target, data.length, signal);
    await sink.write(data.subarray(0, 1000));
    await sink.write(data.subarray(1000));
    return await sink.finish();
  }

  it('stores a private file, and reports its path, length and SHA-256', async () => {
    using home = new Home();
    const stored = await store(home, content);
    const file = path.join(home.backups, 'one');
    expect(stored).toEqual({
      location: `${owner}:${file}`,
      path: file,
      bytes: content.length,
      sha256: createHash('sha256').update(content).digest('hex'),
    });
    expect(readFileSync(file).equals(content)).toBe(true);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(home.files()).toEqual(['one']);
  });

  it('uses the name .partial until a file is finished, and leaves nothing if it is not', async () => {
    using home = new Home();
    {
      const target = { directory: home.backups, fileName: 'one' };
      await using sink = await open(home).openSink(target, undefined, signal);
      expect(home.files()).toEqual(['one.partial']);
      await sink.write(content);
    }
    expect(home.files()).toEqual([]);
  });

  it('never overwrites a file, even one that is created while it stores', async () => {
    using home = new Home();
    writeFileSync(path.join(home.backups, 'one'), 'mine');
    await expect(store(home, content)).rejects.toThrow(RefusedError);
    writeFileSync(path.join(home.backups, 'two.partial'), 'mine');
    await expect(store(home, content, 'two')).rejects.toThrow(RefusedError);
    const target = { directory: home.backups, fileName: 'three' };
    await using sink = await open(home).openSink(target, undefined, signal);
    await sink.write(content);
    writeFileSync(path.join(home.backups, 'three'), 'mine');
    await expect(sink.finish()).rejects.toThrow(StorageError);
    await sink[Symbol.asyncDispose]();
    expect(home.files()).toEqual(['one', 'three', 'two.partial']);
    for (const file of home.files()) {
      expect(readFileSync(path.join(home.backups, file), 'utf8')).toBe('mine');
    }
  });

  it.each([
    ['a directory that does not exist', 'nowhere', 'x', 1, 'does not exist'],
    ['a file as the directory', 'backups/file', 'x', 1, 'not a directory'],
    ['no directory', '', 'x', 1, 'empty'],
    ['a name with a slash', 'backups', '../x', 1, 'plain name'],
    ['the name ..', 'backups', '..', 1, 'plain name'],
    ['no name', 'backups', '', 1, 'plain name'],
    ['a name that is too long', 'backups', 'x'.repeat(300), 1, 'refuses'],
    ['too little space', 'backups', 'x', 2 ** 52, 'not enough space'],
  ])('refuses %s', async (_what, directory, fileName, expectedBytes, message) => {
    using home = new Home();
    writeFileSync(path.join(home.backups, 'file'), '');
    const given = directory === '' ? '' : path.join(home.path, directory);
    const opening = open(home).openSink({ directory: given, fileName }, expectedBytes, signal);
    const error: unknown = await opening.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RefusedError);
    expect(error).toHaveProperty('message', expect.stringContaining(message));
    expect(error).toHaveProperty('message', expect.stringContaining(owner));
    expect(home.files()).toEqual(['file']);
  });

  it.each([
    ['does not exist', 'nothing', 'does not exist'],
    ['is a directory', 'backups', 'not a regular file'],
    ['is a named pipe', 'pipe', 'not a regular file'],
    ['is a dangling symbolic link', 'link', 'does not exist'],
  ])('refuses to read a file that %s', async (_what, name, message) => {
    using home = new Home();
    execFileSync('mkfifo', [path.join(home.path, 'pipe')]);
    symlinkSync('nowhere', path.join(home.path, 'link'));
    const opening = open(home).openSource({ file: path.join(home.path, name) }, signal);
    const error: unknown = await opening.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RefusedError);
    expect(error).toHaveProperty('message', expect.stringContaining(message));
  });

  it('reads any range of a file, in any order, even after a read that was abandoned', async () => {
    using home = new Home();
    const file = path.join(home.path, 'file');
    writeFileSync(file, content);
    await using source = await open(home).openSource({ file }, signal);
    const input: ByteSource = source;
    expect([input.size, input.seekable]).toEqual([content.length, true]);
    expect((await all(source)).equals(content)).toBe(true);
    const offset = fc.integer({ min: 0, max: content.length });
    await fc.assert(
      fc.asyncProperty(offset, offset, fc.boolean(), async (one, other, isLeft) => {
        const [from, to] = [Math.min(one, other), Math.max(one, other)];
        const chunks: Buffer[] = [];
        for await (const chunk of source.read(from, isLeft ? undefined : to)) {
          chunks.push(chunk);
          if (isLeft) break;
        }
        const read = Buffer.concat(chunks);
        if (!isLeft) expect(read.length).toBe(to - from);
        expect(read.equals(content.subarray(from, from + read.length))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('reads ranges of more files than have a handle at a time, with several reads at once', async () => {
    using home = new Home();
    const contents = Array.from({ length: 300 }, (_, i) => Buffer.alloc(5_000 + i, `${i} `));
    contents.push(content);
    contents.forEach((each, i) => writeFileSync(path.join(home.backups, `${i}`), each));
    await using files = await open(home).openFiles(home.backups, signal);
    expect(files.location).toBe(`${owner}:${home.backups}`);
    const opened = await Promise.all(contents.map((_, i) => files.open(`${i}`)));
    const range = fc.tuple(fc.nat(300), fc.nat(), fc.nat()).map(([i, one, other]) => {
      const { length } = contents[i] ?? content;
      const [from, to] = [one % length, other % length].toSorted((a, b) => a - b);
      return { i, from: from ?? 0, to: to ?? 0 };
    });
    const ranges = fc.array(range, { maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(fc.array(ranges, { maxLength: 3 }), async (readings) => {
        const reading = async (wanted: (typeof readings)[number]): Promise<void> => {
          const pieces: Buffer[] = [];
          const asked = wanted.map(({ i, ...rest }) => ({ file: opened[i] ?? raise(), ...rest }));
          for await (const piece of files.read(asked)) pieces.push(piece);
          const expected = wanted.map(
            ({ i, from, to }) => contents[i]?.subarray(from, to) ?? raise(),
          );
          expect(Buffer.concat(pieces).equals(Buffer.concat(expected))).toBe(true);
        };
        // Abandoned after the first chunk, while the others continue.
        const left = files.read([{ file: opened[300] ?? raise(), from: 0, to: content.length }]);
        for await (const piece of left) {
          expect(piece.length).toBeGreaterThan(0);
          break;
        }
        await Promise.all(readings.map(reading));
      }),
      { numRuns: 20 },
    );
  });

  it('reads many files at a time without a warning of Node.js', async () => {
    using home = new Home();
    const names = Array.from({ length: 16 }, (_, i) => `file-${i}`);
    for (const name of names) writeFileSync(path.join(home.backups, name), name);
    const warnings: string[] = [];
    const note = (warning: Error): unknown => warnings.push(warning.message);
    process.on('warning', note);
    {
      await using files = await open(home).openFiles(home.backups, new AbortController().signal);
      const readings = await Promise.all(
        names.map(async (name) => (await files.open(name)).read()[Symbol.asyncIterator]()),
      );
      await Promise.all(readings.map((reading) => reading.next()));
      // Node.js emits a warning only when nothing else is to be done.
      await new Promise((resolve) => setImmediate(resolve));
    }
    process.off('warning', note);
    expect(warnings).toEqual([]);
  });

  it('reads a file whose handle another one takes at the same time', async () => {
    using home = new Home();
    // One file more than there are handles.
    const names = Array.from({ length: 257 }, (_, i) => `${i}`);
    for (const name of names) writeFileSync(path.join(home.backups, name), name);
    await using files = await open(home).openFiles(home.backups, signal);
    const opened: OpenedFile[] = [];
    for (const name of names) opened.push(await files.open(name));
    // Each time, the first one has lost its handle, and the next one's has not been used for longest.
    for (let at = 0; at + 1 < names.length; at += 2) {
      const pair = [at, at + 1].map(async (each) => all(opened[each] ?? raise()));
      expect((await Promise.all(pair)).join(' ')).toBe(`${at} ${at + 1}`);
    }
  });

  it('reports a file that it cannot open or that became shorter, and still reads the others', async () => {
    using home = new Home();
    writeFileSync(path.join(home.backups, 'one'), content);
    writeFileSync(path.join(home.backups, 'two'), 'two');
    await using files = await open(home).openFiles(home.backups, signal);
    const one = await files.open('one');
    for (const [name, message] of [
      ['none', 'does not exist'],
      ['../backups/two', 'plain name'],
      ['.', 'plain name'],
    ] as const) {
      const error: unknown = await files.open(name).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(RefusedError);
      expect(error).toHaveProperty('message', expect.stringContaining(message));
    }
    truncateSync(path.join(home.backups, 'one'), 1_000);
    await expect(all(one)).rejects.toThrow(/backups\/one in .* became shorter/);
    expect((await all(await files.open('two'))).toString()).toBe('two');
    await expect(open(home).openFiles(path.join(home.path, 'no'), signal)).rejects.toThrow(
      RefusedError,
    );
  });

  it('reads an empty file', async () => {
    using home = new Home();
    const file = path.join(home.path, 'empty');
    writeFileSync(file, '');
    await using source = await open(home).openSource({ file }, signal);
    expect(await all(source)).toHaveLength(0);
  });

  it('stores through a command and reads through one', async () => {
    using home = new Home();
    const file = path.join(home.path, 'a file');
    await using sink = await open(home).openSink({ command: `cat > '${file}'` }, undefined, signal);
    await sink.write(content);
    expect(await sink.finish()).toMatchObject({ path: undefined, bytes: content.length });
    await using source = await open(home).openSource({ command: `cat '${file}'` }, signal);
    expect([source.size, source.seekable]).toEqual([undefined, false]);
    expect((await all(source)).equals(content)).toBe(true);
    await expect(all(source)).rejects.toThrow('only once');
  });

  it.each([
    ['fails at once', 'echo no disk >&2; exit 7', 'status 7; its error output: no disk'],
    ['does not exist', 'no-such-program', 'status 127'],
    ['fails in the middle', 'head -c 100000 >/dev/null; echo half >&2; exit 3', 'status 3'],
    ['succeeds without reading all', 'head -c 100000 >/dev/null', 'before it had read all'],
    [
      'fails at the end',
      'cat >/dev/null; printf "\\033[2Jbad" >&2; exit 1',
      'error output: ?[2Jbad',
    ],
    ['is killed', 'kill -9 $$', 'SIGKILL'],
  ])('reports a storing command that %s', async (_what, command, message) => {
    using home = new Home();
    await using sink = await open(home).openSink({ command }, undefined, signal);
    const error: unknown = await (async () => {
      for (let i = 0; i < 3; i++) await sink.write(content);
      await sink.finish();
    })().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StorageError);
    expect(error).toHaveProperty('message', expect.stringContaining(message));
  });

  it('gives all the output of a command, even long after it has exited', async () => {
    using home = new Home();
    await using source = await open(home).openSource({ command: 'printf %s brief' }, signal);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await all(source)).toString()).toBe('brief');
  });

  it.each([
    ['at once', 'exit 7', 'status 7'],
    ['after its output', 'head -c 100000 /dev/zero; echo torn >&2; exit 1', 'torn'],
  ])('reports a reading command that fails %s', async (_when, command, message) => {
    using home = new Home();
    await using source = await open(home).openSource({ command }, signal);
    await expect(all(source)).rejects.toThrow(message);
  });

  it('kills a command, and all processes that it started, when it is no longer needed', async () => {
    using home = new Home();
    const sign = path.join(home.path, 'pids');
    const command = `sleep 1000 & echo $! > '${sign}'; echo $$ >> '${sign}'; sleep 1001`;
    const sink = await open(home).openSink({ command }, undefined, signal);
    await eventually(() => linesOf(sign).length === 2, 'the command runs');
    await sink[Symbol.asyncDispose]();
    for (const pid of linesOf(sign)) expect(isRunning(Number(pid))).toBe(false);
  });

  it('stops when it is interrupted, even while a command reads nothing', async () => {
    using home = new Home();
    const controller = new AbortController();
    const reason = new InterruptedError('interrupted');
    const storage = open(home);
    await using sink = await storage.openSink(
      { command: 'sleep 1000' },
      undefined,
      controller.signal,
    );
    setTimeout(() => controller.abort(reason), 100);
    const start = performance.now();
    await expect(fill(() => sink.write(content))).rejects.toBe(reason);
    await sink[Symbol.asyncDispose]();
    // A busy machine needs a while to reap the processes; the command would take a thousand seconds.
    expect(performance.now() - start).toBeLessThan(60_000);
  });

  it('lists a directory in order, with kinds, sizes and free space', async () => {
    using home = new Home();
    mkdirSync(path.join(home.backups, 'folder'));
    writeFileSync(path.join(home.backups, 'b'), 'four');
    writeFileSync(path.join(home.backups, 'a\n'), '');
    symlinkSync('nowhere', path.join(home.backups, 'link'));
    const listing = await open(home).browse(home.backups, signal);
    expect(listing).toEqual({
      path: home.backups,
      space: { freeBytes: expect.any(Number) as number },
      entries: [
        { untrustedName: 'a\n', kind: 'FILE', size: 0 },
        { untrustedName: 'b', kind: 'FILE', size: 4 },
        { untrustedName: 'folder', kind: 'DIRECTORY', size: 0 },
        { untrustedName: 'link', kind: 'OTHER', size: 0 },
      ],
      truncated: false,
    });
    await expect(open(home).browse(path.join(home.path, 'no'), signal)).rejects.toThrow(
      RefusedError,
    );
  });

  it('lists at most 10,000 entries', async () => {
    using home = new Home();
    for (let i = 0; i < 10_001; i++) writeFileSync(path.join(home.backups, `file-${i}`), '');
    const listing = await open(home).browse(home.backups, signal);
    expect([listing.entries.length, listing.truncated]).toEqual([10_000, true]);
  });
});

function raise(): never {
  throw new Error('there is no such file');
}

async function all(source: ByteSource): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of source.read()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Writes until it fails. */
async function fill(write: () => Promise<void>): Promise<never> {
  for (;;) await write();
}

function linesOf(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n').filter(Boolean);
  } catch {
    return [];
  }
}

/** A process that has ended may remain as a zombie until init reaps it. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
