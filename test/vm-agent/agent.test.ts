import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { beforeAll, describe, expect, it } from 'vitest';
import { Channel } from '../../protocol/channel.ts';
import { BrowseConversation, StoreConversation } from '../../protocol/conversation.ts';
import { FetchConversation } from '../../protocol/fetch-conversation.ts';
import type { Conversation, Service } from '../../protocol/conversation.ts';
import { MOST_CREDIT, PROTOCOL_VERSION } from '../../protocol/limits.ts';
import type { StoreTarget } from '../../dom0-agent/transport/storage.ts';
import { ChannelClosedError, PeerFailure } from '../../protocol/protocol-error.ts';
import { GiB, MiB } from '../../shared/sizes.ts';
import { eventually } from '../eventually.ts';
import { AS_ROOT } from '../other-user.ts';
import { Home, agentProgram, buildAgent } from '../transport/storage-vm.ts';

const version = PROTOCOL_VERSION;
const chunk = Buffer.alloc(MiB, 0x5a);

beforeAll(buildAgent);

type Script = (agent: string) => string;

/** The agent as qrexec runs it, and dom0's end of the channel to it. */
class Agent<C extends Conversation> implements AsyncDisposable {
  readonly process: ChildProcessByStdio<Writable, Readable, null>;
  readonly channel: Channel<C>;
  readonly exited: Promise<unknown[]>;

  /** `script`: shell code that runs the command which is the agent; `prefix`: the words of what runs the shell. */
  constructor(
    home: Home,
    service: Service,
    conversation: C,
    script: Script = (agent) => `exec ${agent}`,
    prefix: readonly string[] = [],
  ) {
    const agent = `'${process.execPath}' '${agentProgram}' ${service}`;
    const [program, ...words] = [...prefix, 'sh', '-c', script(agent)];
    this.process = spawn(program, words, {
      env: { HOME: home.path, PATH: process.env['PATH'] },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    this.exited = once(this.process, 'exit');
    this.channel = new Channel({
      side: 'dom0',
      conversation,
      peer: 'the agent',
      input: this.process.stdout,
      output: this.process.stdin,
      signal: new AbortController().signal,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill('SIGKILL');
    await this.exited;
  }
}

/** An agent that is ready to store. */
async function storing(
  home: Home,
  target: StoreTarget,
  script?: Script,
  prefix?: readonly string[],
) {
  const agent = new Agent(home, 'Store', new StoreConversation(), script, prefix);
  await agent.channel.send({ kind: 'storeRequest', version, fileName: '', ...target });
  await agent.channel.expect('ready', 60_000);
  return agent;
}

/** An agent that is ready to give. */
async function fetching(home: Home, source: { directory: string } | { command: string }) {
  const agent = new Agent(home, 'Fetch', new FetchConversation());
  await agent.channel.send({ kind: 'fetchRequest', version, ...source });
  await agent.channel.expect('ready', 60_000);
  return agent;
}

type Storing = Awaited<ReturnType<typeof storing>>;

/** Sends so many MiB, and nothing else. */
async function sendData({ channel }: Storing, mebibytes: number): Promise<void> {
  for (let i = 0; i < mebibytes; i++) {
    await channel.send({ kind: 'data', offset: i * MiB, bytes: chunk });
  }
}

/** What the agent answers in the end, if it is not Progress. */
async function lastWord({ channel }: Storing) {
  for (;;) {
    const message = await channel.receive(60_000);
    if (message.kind !== 'progress') return message;
  }
}

async function failureOf(agent: Storing): Promise<string> {
  const error: unknown = await lastWord(agent).catch((thrown: unknown) => thrown);
  if (!(error instanceof PeerFailure)) throw new Error('there is no Failure', { cause: error });
  return error.untrustedFailure.code;
}

const toFile = { directory: 'backups', fileName: 'one' };

describe('the agent, storing into a directory of its home,', () => {
  it('answers Stored when the file is safe, and exits with 0', async () => {
    using home = new Home();
    await using agent = await storing(home, toFile);
    await sendData(agent, 2);
    const sha256 = createHash('sha256').update(chunk).update(chunk).digest();
    await agent.channel.send({ kind: 'end', bytes: 2 * MiB, sha256 });
    expect(await lastWord(agent)).toEqual({
      kind: 'stored',
      path: path.join(home.backups, 'one'),
      bytes: 2 * MiB,
      sha256,
    });
    expect(await agent.exited).toEqual([0, null]);
    expect(home.files()).toEqual(['one']);
  });

  it.each([
    ['the length', { bytes: MiB - 1, sha256: createHash('sha256').update(chunk).digest() }],
    ['the SHA-256', { bytes: MiB, sha256: Buffer.alloc(32) }],
  ])('keeps nothing if %s does not match what came', async (_what, end) => {
    using home = new Home();
    await using agent = await storing(home, toFile);
    await sendData(agent, 1);
    await agent.channel.send({ kind: 'end', ...end });
    expect(await failureOf(agent)).toBe('CORRUPTED');
    expect(home.files()).toEqual([]);
  });

  it('keeps nothing if dom0 disconnects', async () => {
    using home = new Home();
    await using agent = await storing(home, toFile);
    await sendData(agent, 1);
    agent.process.stdin.destroy();
    expect(await agent.exited).toEqual([4, null]);
    expect(home.files()).toEqual([]);
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('keeps nothing after %s', async (signal) => {
    using home = new Home();
    await using agent = await storing(home, toFile);
    await sendData(agent, 1);
    agent.process.kill(signal);
    expect(await failureOf(agent)).toBe('CANCELLED');
    await agent.exited;
    expect(home.files()).toEqual([]);
  });

  it('keeps nothing even if it is killed, and another backup can be made at once', async () => {
    using home = new Home();
    await using agent = await storing(home, toFile);
    await sendData(agent, 1);
    agent.process.kill('SIGKILL');
    await eventually(() => home.files().length === 0, 'the partial file is gone');
    await using again = await storing(home, toFile);
    expect(again.channel.conversation.isOver).toBe(false);
    expect(home.files()).toEqual(['one.partial']);
  });

  it('reports a full disk as such', async () => {
    using home = new Home();
    const left = path.join(home.path, 'left');
    const onSmallDisk = (agent: string): string =>
      `mount -t tmpfs -o size=2m none '${home.backups}'; ${agent}; ls -A '${home.backups}' >'${left}'`;
    await using agent = await storing(home, toFile, onSmallDisk, AS_ROOT);
    const sending = sendData(agent, 50);
    expect(await failureOf(agent)).toBe('NO_SPACE');
    await expect(sending).rejects.toThrow(ChannelClosedError);
    await agent.exited;
    expect(readFileSync(left, 'utf8')).toBe('');
  });

  it('reports a limit on the size of files as such', async () => {
    using home = new Home();
    await using agent = await storing(home, toFile, (program) => `ulimit -f 2048; exec ${program}`);
    const sending = sendData(agent, 50);
    expect(await failureOf(agent)).toBe('TOO_LARGE');
    await expect(sending).rejects.toThrow(ChannelClosedError);
    expect(home.files()).toEqual([]);
  });

  it('reports every second how much is safe', async () => {
    using home = new Home();
    await using agent = await storing(home, { command: 'cat > /dev/null' });
    await sendData(agent, 3);
    expect(await agent.channel.expect('progress', 3_000)).toEqual({
      kind: 'progress',
      bytes: 3 * MiB,
    });
  });
});

describe('the agent, with a command,', () => {
  it('terminates it if the agent is killed', async () => {
    using home = new Home();
    const sign = path.join(home.path, 'pid');
    const agent = await storing(home, { command: `echo $$ > '${sign}'; sleep 1000; :` });
    await eventually(() => existsSync(sign) && readFileSync(sign).length > 0, 'it runs');
    const pid = readFileSync(sign, 'utf8').trim();
    await agent[Symbol.asyncDispose]();
    await eventually(() => !existsSync(`/proc/${pid}`), 'the command has ended');
  });

  it('terminates it if dom0 disconnects, even if it reads nothing', async () => {
    using home = new Home();
    await using agent = await storing(home, { command: 'sleep 1000' });
    const sending = sendData(agent, 50);
    await new Promise((resolve) => setTimeout(resolve, 100));
    agent.process.stdin.destroy();
    agent.process.stdout.destroy();
    await expect(sending).rejects.toThrow(ChannelClosedError);
    expect(await agent.exited).toEqual([4, null]);
  });

  it("runs it in the home of the VM's user", async () => {
    using home = new Home();
    await using agent = await fetching(home, { command: 'printf %s "$HOME"' });
    await agent.channel.send({ kind: 'read', bytes: 1_000 });
    expect((await agent.channel.expect('data')).bytes.toString()).toBe(home.path);
    await agent.channel.expect('end');
    agent.process.stdin.end();
    expect(await agent.exited).toEqual([0, null]);
  });

  it('refuses an empty command', async () => {
    using home = new Home();
    await expect(storing(home, { command: ' ' })).rejects.toThrow('BAD_REQUEST');
  });
});

describe('the agent, giving files of a directory,', () => {
  it('opens them by name and gives ranges in the order in which they are wanted', async () => {
    using home = new Home();
    writeFileSync(path.join(home.backups, 'one'), 'the first');
    writeFileSync(path.join(home.backups, 'two'), 'the second');
    await using agent = await fetching(home, { directory: 'backups' });
    const { channel } = agent;
    await channel.send({ kind: 'open', handle: 0, fileName: 'one' });
    await channel.send({ kind: 'open', handle: 7, fileName: 'two' });
    expect(await channel.expect('opened', 60_000)).toEqual({ kind: 'opened', size: 9 });
    expect(await channel.expect('opened')).toEqual({ kind: 'opened', size: 10 });
    await channel.send({ kind: 'want', handle: 7, offset: 4, length: 6 });
    await channel.send({ kind: 'want', handle: 0, offset: 0, length: 3 });
    // The handle is given to another file: what was wanted before is of the former.
    await channel.send({ kind: 'open', handle: 0, fileName: 'two' });
    expect((await channel.expect('data')).bytes.toString()).toBe('second');
    expect((await channel.expect('data')).bytes.toString()).toBe('the');
    await channel.expect('opened');
    await channel.send({ kind: 'want', handle: 0, offset: 0, length: 10 });
    expect((await channel.expect('data')).bytes.toString()).toBe('the second');
    agent.process.stdin.end();
    expect(await agent.exited).toEqual([0, null]);
  });

  it('says of each that it lacks it, and goes on', async () => {
    using home = new Home();
    writeFileSync(path.join(home.path, 'outside'), 'secret');
    execFileSync('mkfifo', [path.join(home.backups, 'pipe')]);
    writeFileSync(path.join(home.backups, 'shrinking'), Buffer.alloc(3 * MiB));
    await using agent = await fetching(home, { directory: 'backups' });
    const { channel } = agent;
    for (const [fileName, code] of [
      ['none', 'NOT_FOUND'],
      ['pipe', 'NOT_A_FILE'],
      ['.', 'BAD_REQUEST'],
      ['../outside', 'BAD_REQUEST'],
      ['', 'BAD_REQUEST'],
    ] as const) {
      await channel.send({ kind: 'open', handle: 0, fileName });
      expect(await channel.expect('lacks', 60_000), fileName).toMatchObject({ code });
    }
    await channel.send({ kind: 'open', handle: 0, fileName: 'shrinking' });
    await channel.expect('opened');
    truncateSync(path.join(home.backups, 'shrinking'), 1_000);
    await channel.send({ kind: 'want', handle: 0, offset: 0, length: 2_000 });
    await channel.send({ kind: 'want', handle: 0, offset: 0, length: 10 });
    expect((await channel.expect('data')).bytes).toHaveLength(1_000);
    expect(await channel.expect('lacks')).toMatchObject({ code: 'IO' });
    expect((await channel.expect('data')).bytes).toHaveLength(10);
  });

  it('refuses a directory that is none', async () => {
    using home = new Home();
    await expect(fetching(home, { directory: 'nowhere' })).rejects.toThrow('NOT_FOUND');
    writeFileSync(path.join(home.path, 'file'), '');
    await expect(fetching(home, { directory: 'file' })).rejects.toThrow('NOT_A_DIRECTORY');
  });
});

describe('the agent, when dom0 disconnects and qrexec closes only its input,', () => {
  it('stops sending', async () => {
    using home = new Home();
    await using agent = await fetching(home, { command: 'cat /dev/zero' });
    await agent.channel.send({ kind: 'read', bytes: MOST_CREDIT });
    await agent.channel.expect('data');
    // Nobody reads on: by now it waits for room.
    await new Promise((resolve) => setTimeout(resolve, 300));
    agent.process.stdin.end();
    await eventually(() => agent.process.exitCode === 0, 'the end of the agent');
  });

  it('stops listing', async () => {
    using home = new Home();
    for (let i = 0; i < 3_000; i++) writeFileSync(path.join(home.backups, `${i}`.padEnd(200)), '');
    await using agent = new Agent(home, 'Browse', new BrowseConversation());
    await agent.channel.send({ kind: 'browseRequest', version, directory: 'backups' });
    await agent.channel.expect('ready', 60_000);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(agent.process.exitCode).toBeNull();
    agent.process.stdin.end();
    await eventually(() => agent.process.exitCode === 0, 'the end of the agent');
  });
});

describe('the agent', () => {
  it('refuses another version of the protocol', async () => {
    using home = new Home();
    await using agent = new Agent(home, 'Store', new StoreConversation());
    const request = { kind: 'storeRequest', ...toFile } as const;
    await agent.channel.send({ ...request, version: 9 });
    expect(await failureOf(agent)).toBe('VERSION');
  });

  it('refuses anything but the protocol', async () => {
    using home = new Home();
    await using agent = new Agent(home, 'Store', new StoreConversation());
    agent.process.stdin.write('GET / HTTP/1.1\r\n\r\n'.repeat(10));
    expect(await failureOf(agent)).toBe('PROTOCOL');
  });

  it('is ready quickly', async () => {
    using home = new Home();
    const times: number[] = [];
    for (let i = 0; i < 3; i++) {
      const start = performance.now();
      await using agent = await storing(home, { ...toFile, fileName: `n${i}` });
      times.push(performance.now() - start);
      expect(agent.process.exitCode).toBeNull();
    }
    console.log(`ready after ${Math.min(...times).toFixed()} ms`);
    expect(Math.min(...times)).toBeLessThan(10_000);
  });

  it('stores and sends half a GiB fast and in little memory', async () => {
    using home = new Home();
    const size = GiB / 2;
    await using agent = await storing(home, { command: 'cat > /dev/null' });
    let start = performance.now();
    await sendData(agent, size / MiB);
    report('Store', size, start, agent.process.pid);
    await using source = await fetching(home, { command: `head -c ${size} /dev/zero` });
    start = performance.now();
    let received = 0;
    while (received < size) {
      if (source.channel.conversation.stream.credit < MOST_CREDIT / 4) {
        await source.channel.send({ kind: 'read', bytes: MOST_CREDIT / 2 });
      }
      received += (await source.channel.expect('data')).bytes.length;
    }
    report('Fetch', size, start, source.process.pid);
  });
});

/** Prints the rate, and the peak memory, which must be as promised. */
function report(what: string, bytes: number, start: number, pid: number | undefined): void {
  const rate = bytes / 1e3 / (performance.now() - start);
  const status = readFileSync(`/proc/${pid ?? 'self'}/status`, 'utf8');
  const peak = Number(/VmHWM:\s*(\d+)/.exec(status)?.[1]) / 1024;
  console.log(`${what}: ${rate.toFixed()} MB/s, peak memory ${peak.toFixed()} MiB`);
  expect(peak).toBeLessThan(100);
  // A tenth of what the slowest machine gave that was otherwise idle.
  expect(rate).toBeGreaterThan(2);
}
