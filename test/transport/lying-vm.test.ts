import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { AgentConnector } from '../../dom0-agent/transport/agent-connector.ts';
import { AgentStorage } from '../../dom0-agent/transport/agent-storage.ts';
import type { Sink } from '../../dom0-agent/transport/storage.ts';
import { AssembleConversation } from '../../protocol/assemble-conversation.ts';
import { Channel } from '../../protocol/channel.ts';
import { StoreConversation } from '../../protocol/conversation.ts';
import type { Conversation } from '../../protocol/conversation.ts';
import { FetchConversation } from '../../protocol/fetch-conversation.ts';
import { PROTOCOL_VERSION } from '../../protocol/limits.ts';
import type { Message } from '../../protocol/messages.ts';
import { StorageError } from '../../shared/errors.ts';
import { GiB } from '../../shared/sizes.ts';
import { StderrTail } from '../../shared/child-process.ts';

const { signal } = new AbortController();
const limits = { answer: 200, silence: 200, stall: 200, finish: 300, exit: 200 };

interface Vm {
  readonly channel: Channel<Conversation>;
  readonly stdout: PassThrough;
  readonly stderr: PassThrough;
}

/** A storage VM whose agent does what the test says, and ends with the status that it returns. */
function storageOf(conversation: Conversation, play: (vm: Vm) => Promise<number>): AgentStorage {
  const connect: AgentConnector = (_service, killed) => {
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
    const channel = new Channel({
      side: 'vm',
      conversation,
      peer: 'dom0',
      input: stdin,
      output: stdout,
      signal: killed,
    });
    const stderrTail = new StderrTail(stderr, 4096);
    const exited = play({ channel, stdout, stderr })
      .catch(() => 1)
      .then((exitStatus) => {
        stderr.end();
        stdout.end();
        return { exitStatus, signal: '' };
      });
    return Promise.resolve({ stdin, stdout, stderrTail, exited });
  };
  return new AgentStorage('sys-usb', connect, limits);
}

const ready = (): Message => ({
  kind: 'ready',
  version: PROTOCOL_VERSION,
  path: '/home/user/\u001b[31mx',
  freeBytes: undefined,
  largestFile: undefined,
});

/** Stores three bytes in a VM that behaves correctly until it has received End. */
async function store(ending: (vm: Vm, sha256: Buffer) => Promise<number>): Promise<string> {
  const storage = storageOf(new StoreConversation(), async (vm) => {
    await vm.channel.expect('storeRequest');
    await vm.channel.send(ready());
    await vm.channel.expect('data');
    const { sha256 } = await vm.channel.expect('end');
    return ending(vm, sha256);
  });
  const target = { directory: 'backups', fileName: 'one' };
  await using sink: Sink = await storage.openSink(target, undefined, signal);
  expect(sink.location).toBe('sys-usb:/home/user/?[31mx');
  await sink.write(Buffer.from('abc'));
  const error: unknown = await sink.finish().then(
    () => 'stored',
    (thrown: unknown) => thrown,
  );
  if (error === 'stored') return error;
  expect(error).toBeInstanceOf(StorageError);
  return String(error);
}

const stored = (sha256: Buffer, bytes = 3) =>
  ({ kind: 'stored', path: '/x', bytes, sha256 }) as const;

describe('a storage VM that receives an archive', () => {
  it('is trusted to have stored it if length, SHA-256 and exit status are right', async () => {
    const result = await store(async ({ channel }, sha256) => {
      await channel.send(stored(sha256));
      return 0;
    });
    expect(result).toBe('stored');
  });

  it.each<[string, (vm: Vm, sha256: Buffer) => Promise<number>, string]>([
    [
      'has stored too few bytes',
      async ({ channel }, sha256) => channel.send(stored(sha256, 2)).then(() => 0),
      'something other',
    ],
    [
      'has stored other bytes',
      async ({ channel }) => channel.send(stored(Buffer.alloc(32))).then(() => 0),
      'something other',
    ],
    [
      'exits with an error after Stored',
      async ({ channel }, sha256) => channel.send(stored(sha256)).then(() => 9),
      'ended with status 9',
    ],
    ['closes the channel without an answer', () => Promise.resolve(0), 'closed the channel'],
    ['is silent', ({ channel }) => channel.receive().then(() => 0), 'has been silent'],
    [
      'floods the channel with Progress',
      async ({ stdout }) => {
        const progress = Buffer.from([4, 0x3a, 2, 8, 0]);
        for (let i = 0; i < 100_000 && !stdout.destroyed; i++) {
          if (!stdout.write(progress))
            await Promise.race([once(stdout, 'drain'), once(stdout, 'close')]);
        }
        return 0;
      },
      'flood',
    ],
    [
      'fails with control characters in its error output',
      ({ stderr }) => {
        stderr.write('\u001b]0;owned\u0007 sorry');
        return Promise.resolve(1);
      },
      'sys-usb says: ?]0;owned? sorry',
    ],
  ])('is reported if it %s', async (_what, ending, message) => {
    expect(await store(ending)).toContain(message);
  });
});

/**
 * Reads from a VM that behaves correctly until the first Read;
 * or, with a size, reads a file of that size from one that does until the first Want.
 */
async function read(
  size: number | undefined,
  ending: (vm: Vm) => Promise<number>,
): Promise<unknown> {
  const storage = storageOf(new FetchConversation(), async (vm) => {
    await vm.channel.expect('fetchRequest');
    await vm.channel.send(ready());
    if (size === undefined) {
      await vm.channel.expect('read');
    } else {
      await vm.channel.expect('open');
      await vm.channel.send({ kind: 'opened', size });
      await vm.channel.expect('want');
    }
    return ending(vm);
  });
  const from = size === undefined ? { command: 'cat one' } : { file: 'one' };
  await using source = await storage.openSource(from, signal);
  let received = 0;
  try {
    for await (const chunk of source.read()) received += chunk.length;
    return received;
  } catch (error) {
    return error;
  }
}

/** The bytes of a Data message, which the channel of the VM would refuse to send. */
const rawData = (offset: number, value: number) =>
  Buffer.from([7, 0x52, 5, 8, offset, 0x12, 1, value]);

describe('a storage VM that sends an archive', () => {
  it.each<[string, number | undefined, (vm: Vm) => Promise<number>, string]>([
    [
      'sends bytes from another offset',
      10,
      ({ stdout, channel }) => {
        stdout.write(rawData(5, 1));
        return channel.receive().then(() => 0);
      },
      'not in sequence',
    ],
    [
      'sends more than was asked for',
      1,
      ({ stdout, channel }) => {
        stdout.write(
          Buffer.concat([rawData(0, 1).subarray(0, 3), Buffer.from([0x12, 3, 1, 2, 3])]),
        );
        return channel.receive().then(() => 0);
      },
      'more Data than was asked for',
    ],
    ['is silent', 10, ({ channel }) => channel.receive().then(() => 0), 'has been silent'],
    ['ends before the end of the file', 10, () => Promise.resolve(0), 'closed the channel'],
    [
      'sends one byte at a time, too slowly',
      1_000,
      async ({ stdout }) => {
        for (let i = 0; i < 100 && !stdout.destroyed; i++) {
          stdout.write(i === 0 ? Buffer.from([5, 0x52, 3, 0x12, 1, 7]) : rawData(i, 1));
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        return 0;
      },
      'has been silent',
    ],
  ])('is reported if it %s', async (_what, size, ending, message) => {
    const start = performance.now();
    const error = await read(size, ending);
    expect(error).toBeInstanceOf(StorageError);
    expect(String(error)).toContain(message);
    expect(performance.now() - start).toBeLessThan(30_000);
  });

  it('is read to the end if it sends a correct stream', async () => {
    const result = await read(undefined, async ({ channel }) => {
      await channel.send({ kind: 'data', offset: 0, bytes: Buffer.from('abc') });
      await channel.send({ kind: 'end', bytes: 3, sha256: Buffer.alloc(0) });
      return 0;
    });
    expect(result).toBe(3);
  });
});

describe('a storage VM that assembles a file', () => {
  const assembling = async (play: (vm: Vm) => Promise<number>) => {
    const storage = storageOf(new AssembleConversation(), async (vm) => {
      await vm.channel.expect('assembleRequest');
      await vm.channel.send(ready());
      return play(vm);
    });
    const target = { directory: 'backups', fileName: 'pack' };
    return storage.openAssembly(target, undefined, signal);
  };

  it('is never asked for more than 1 GiB beyond what it has reported as copied', async () => {
    let asked = 0;
    let [most, safe] = [0, 0];
    await using assembly = await assembling(async ({ channel }) => {
      while (asked < 5 * GiB) {
        asked += (await channel.expect('copy')).length;
        most = Math.max(most, asked - safe);
        if (asked - safe < GiB) continue;
        safe = asked;
        await channel.send({ kind: 'progress', bytes: safe });
      }
      const { sha256, bytes } = await channel.expect('end');
      await channel.send(stored(sha256, bytes));
      return 0;
    });
    await assembly.copy('one', 0, 5 * GiB);
    expect(await assembly.finish()).toMatchObject({ bytes: 5 * GiB });
    expect(most).toBeLessThanOrEqual(GiB);
  });

  it('is reported if it sends Progress, but copies nothing more', async () => {
    await using assembly = await assembling(async ({ channel }) => {
      for (let i = 0; i < 90; i++) {
        await channel.send({ kind: 'progress', bytes: 0 });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return 0;
    });
    const error: unknown = await assembly
      .copy('one', 0, 2 * GiB)
      .catch((thrown: unknown) => thrown);
    expect(String(error)).toContain('sys-usb does not continue copying');
  });
});
