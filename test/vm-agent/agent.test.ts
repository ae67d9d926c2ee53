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
import { DeleteConversation } from '../../protocol/delete-conversation.ts';
import type { Message } from '../../protocol/messages.ts';
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

/** The agent, run as qrexec does, and dom0's end of the channel to it. */
class Agent<C extends Conversation> implements AsyncDisposable {
  readonly process: ChildProcessByStdio<Writable, Readable, null>;
  readonly channel: Channel<C>;
  readonly exited: Promise<unknown[]>;

  /** `script` makes the shell code that runs the agent's command line; `prefix` is a command that runs the shell. */
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

/** An agent that is ready to send. */
async function fetching(home: Home, source: { directory: string } | { command: string }) {
  const agent = new Agent(home, 'Fetch', new FetchConversation());
  await agent.channel.send({ kind: 'fetchRequest', version, ...source });
  await agent.channel.expect('ready', 60_000);
  return agent;
}

type Storing = Awaited<ReturnType<typeof storing>>;

/** Sends this many MiB as Data. */
async function sendData({ channel }: Storing, mebibytes: number): Promise<void> {
  for (let i = 0; i < mebibytes; i++) {
    await channel.send({ kind: 'data', offset: i * MiB, bytes: chunk });
  }
}

/** The next message of the agent that is not Progress. */
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

describe('the agent, when it stores into a directory,', () => {
  it('answers Stored when the file is complete, and exits with 0', async () => {
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
  ])('deletes its file if %s in End does not match the data', async (_what, end) => {
    using home = new Home();
    await using agent = await storing(home, toFile);
    await sendData(agent, 1);
    await agent.channel.send({ kind: 'end', ...end });
    expect(await failureOf(agent)).toBe('CORRUPTED');
    expect(home.files()).toEqual([]);
  });

  it('deletes its file if dom0 disconnects', async () => {
    using home = new Home();
    await using agent = await storing(home, toFile);
    await sendData(agent, 1);
    agent.process.stdin.destroy();
    expect(await agent.exited).toEqual([4, null]);
    expect(home.files()).toEqual([]);
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('deletes its file at %s', async (signal) => {
    using home = new Home();
    await using agent = await storing(home, toFile);
    await sendData(agent, 1);
    agent.process.kill(signal);
    expect(await failureOf(agent)).toBe('CANCELLED');
    await agent.exited;
    expect(home.files()).toEqual([]);
  });

  it('leaves no file even if it is killed, and the same name can be used at once', async () => {
    using home = new Home();
    await using agent = await storing(home, toFile);
    await sendData(agent, 1);
    agent.process.kill('SIGKILL');
    await eventually(() => home.files().length === 0, 'the end of the partial file');
    await using again = await storing(home, toFile);
    expect(again.channel.conversation.isOver).toBe(false);
    expect(home.files()).toEqual(['one.partial']);
  });

  it('answers NO_SPACE if the disk is full, and deletes its file', async () => {
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

  it('answers TOO_LARGE at a limit on file sizes, and deletes its file', async () => {
    using home = new Home();
    await using agent = await storing(home, toFile, (program) => `ulimit -f 2048; exec ${program}`);
    const sending = sendData(agent, 50);
    expect(await failureOf(agent)).toBe('TOO_LARGE');
    await expect(sending).rejects.toThrow(ChannelClosedError);
    expect(home.files()).toEqual([]);
  });

  it('reports in Progress how much is stored', async () => {
    using home = new Home();
    await using agent = await storing(home, { command: 'cat > /dev/null' });
    await sendData(agent, 3);
    expect(await agent.channel.expect('progress', 3_000)).toEqual({
      kind: 'progress',
      bytes: 3 * MiB,
    });
  });
});

describe('the agent, when it runs a command,', () => {
  it('is killed together with the command', async () => {
    using home = new Home();
    const sign = path.join(home.path, 'pid');
    const agent = await storing(home, { command: `echo $$ > '${sign}'; sleep 1000; :` });
    await eventually(() => existsSync(sign) && readFileSync(sign).length > 0, 'the command runs');
    const pid = readFileSync(sign, 'utf8').trim();
    await agent[Symbol.asyncDispose]();
    await eventually(() => !existsSync(`/proc/${pid}`), 'the end of the command');
  });

  it('exits if dom0 disconnects, even if the command reads nothing', async () => {
    using home = new Home();
    await using agent = await storing(home, { command: 'sleep 1000' });
    const sending = sendData(agent, 50);
    await new Promise((resolve) => setTimeout(resolve, 100));
    agent.process.stdin.destroy();
    agent.process.stdout.destroy();
    await expect(sending).rejects.toThrow(ChannelClosedError);
    expect(await agent.exited).toEqual([4, null]);
  });

  it("sets HOME to the home directory of the VM's user", async () => {
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

describe('the agent, when it sends files of a directory,', () => {
  it('opens them by name, and sends ranges in the order in which they were requested', async () => {
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
    // The handle is reused for another file: the range requested before is of the first file.
    await channel.send({ kind: 'open', handle: 0, fileName: 'two' });
    expect((await channel.expect('data')).bytes.toString()).toBe('second');
    expect((await channel.expect('data')).bytes.toString()).toBe('the');
    await channel.expect('opened');
    await channel.send({ kind: 'want', handle: 0, offset: 0, length: 10 });
    expect((await channel.expect('data')).bytes.toString()).toBe('the second');
    agent.process.stdin.end();
    expect(await agent.exited).toEqual([0, null]);
  });

  it('answers Lacks for a file that it cannot open or that became shorter, and continues', async () => {
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

  it('refuses a directory that does not exist, and a file in place of one', async () => {
    using home = new Home();
    await expect(fetching(home, { directory: 'nowhere' })).rejects.toThrow('NOT_FOUND');
    writeFileSync(path.join(home.path, 'file'), '');
    await expect(fetching(home, { directory: 'file' })).rejects.toThrow('NOT_A_DIRECTORY');
  });
});

describe('the agent, when dom0 disconnects but qrexec closes only its input,', () => {
  it('stops sending', async () => {
    using home = new Home();
    await using agent = await fetching(home, { command: 'cat /dev/zero' });
    await agent.channel.send({ kind: 'read', bytes: MOST_CREDIT });
    await agent.channel.expect('data');
    // The test reads no further: by now the agent waits until its output can take more.
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

describe('the agent, when dom0 disconnects while a command does not end,', () => {
  const asked = { version, directory: 'backups' };

  it.each([
    ['Browse', new BrowseConversation(), { kind: 'browseRequest', ...asked }],
    ['Store', new StoreConversation(), { kind: 'storeRequest', ...asked, fileName: 'a' }],
    ['Delete', new DeleteConversation(), { kind: 'deleteRequest', ...asked, fileNames: ['a'] }],
  ] satisfies [Service, Conversation, Message][])(
    'ends it, and exits: %s',
    async (service, conversation, request) => {
      using home = new Home();
      const shell = path.join(home.path, 'shell');
      const through = `echo $$ > '${shell}.part' && mv '${shell}.part' '${shell}'; exec sleep 1000`;
      await using agent = new Agent(home, service, conversation);
      await agent.channel.send({ ...request, through });
      await eventually(() => existsSync(shell), 'the command');
      agent.process.stdin.end();
      await eventually(() => agent.process.exitCode !== null, 'the end of the agent');
      const command = Number(readFileSync(shell, 'utf8'));
      await eventually(() => !existsSync(`/proc/${command}`), 'the end of the command');
    },
  );
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

  it('is ready to store in less than ten seconds', async () => {
    using home = new Home();
    const times: number[] = [];
    for (let i = 0; i < 3; i++) {
      const start = performance.now();
      await using agent = await storing(home, { ...toFile, fileName: `n${i}` });
      times.push(performance.now() - start);
      expect(agent.process.exitCode).toBeNull();
    }
    expect(Math.min(...times)).toBeLessThan(10_000);
  });

  it('stores and sends half a GiB at more than 2 MB/s, in less than 100 MiB of memory', async () => {
    using home = new Home();
    const size = GiB / 2;
    await using agent = await storing(home, { command: 'cat > /dev/null' });
    let start = performance.now();
    await sendData(agent, size / MiB);
    expectModest(size, start, agent.process.pid);
    await using source = await fetching(home, { command: `head -c ${size} /dev/zero` });
    start = performance.now();
    let received = 0;
    while (received < size) {
      if (source.channel.conversation.stream.credit < MOST_CREDIT / 4) {
        await source.channel.send({ kind: 'read', bytes: MOST_CREDIT / 2 });
      }
      received += (await source.channel.expect('data')).bytes.length;
    }
    expectModest(size, start, source.process.pid);
  });
});

/** Checks the rate since `start`, and the peak memory of the agent. */
function expectModest(bytes: number, start: number, pid: number | undefined): void {
  const rate = bytes / 1e3 / (performance.now() - start);
  const status = readFileSync(`/proc/${pid ?? 'self'}/status`, 'utf8');
  const peak = Number(/VmHWM:\s*(\d+)/.exec(status)?.[1]) / 1024;
  expect(peak).toBeLessThan(100);
  // A tenth of the rate on the slowest machine that was otherwise idle.
  expect(rate).toBeGreaterThan(2);
}
