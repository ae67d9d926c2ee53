import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { Channel } from '../../protocol/channel.ts';
import { encodeFrame } from '../../protocol/codec.ts';
import { StoreConversation } from '../../protocol/conversation.ts';
import { PROTOCOL_VERSION } from '../../protocol/limits.ts';
import type { Message } from '../../protocol/messages.ts';
import {
  ChannelClosedError,
  PeerFailure,
  ProtocolError,
  TimeoutError,
} from '../../protocol/protocol-error.ts';

const version = PROTOCOL_VERSION;
const request: Message = {
  kind: 'storeRequest',
  version,
  target: 'directory',
  directory: 'backups',
  fileName: 'one',
  expectedBytes: 5,
};
const ready: Message = { kind: 'ready', version, path: '/x', freeBytes: 1 };

/** dom0's end of a channel, and the raw streams of the VM's end. */
function dom0(signal = new AbortController().signal) {
  const fromVm = new PassThrough();
  const toVm = new PassThrough({ highWaterMark: 1_000 });
  const channel = new Channel({
    side: 'dom0',
    conversation: new StoreConversation(),
    peer: 'sys-usb',
    input: fromVm,
    output: toVm,
    signal,
  });
  const answer = (message: Message) => fromVm.write(Buffer.concat(encodeFrame(message)));
  return { channel, fromVm, toVm, answer };
}

describe('a channel', () => {
  it('carries messages both ways, in their order', async () => {
    const { channel: ours, fromVm, toVm } = dom0();
    const theirs = new Channel({
      side: 'vm',
      conversation: new StoreConversation(),
      peer: 'dom0',
      input: toVm,
      output: fromVm,
      signal: new AbortController().signal,
    });
    await ours.send(request);
    expect(await theirs.expect('storeRequest')).toEqual(request);
    await theirs.send(ready);
    expect(await ours.expect('ready')).toEqual(ready);
    const sending = ours.send({ kind: 'data', offset: 0, bytes: Buffer.alloc(100_000, 3) });
    expect((await theirs.expect('data')).bytes.equals(Buffer.alloc(100_000, 3))).toBe(true);
    await sending;
  });

  it('says who violated the protocol, and how', async () => {
    const { channel, answer } = dom0();
    await channel.send(request);
    answer({ kind: 'progress', bytes: 0 });
    const error = await channel.receive().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ProtocolError);
    expect(error).toHaveProperty(
      'message',
      'sys-usb violated the protocol: progress came out of turn.',
    );
  });

  it('does not send a message out of turn', async () => {
    const { channel } = dom0();
    await expect(channel.send({ kind: 'data', offset: 0, bytes: Buffer.alloc(1) })).rejects.toThrow(
      ProtocolError,
    );
  });

  it('reports the failure of the other side', async () => {
    const { channel, answer } = dom0();
    await channel.send(request);
    answer({
      kind: 'failure',
      code: 'NO_SPACE',
      message: 'full',
      exitStatus: undefined,
      signal: '',
      stderrTail: '',
    });
    const error = await channel.receive().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PeerFailure);
    expect(error).toHaveProperty('untrustedFailure.code', 'NO_SPACE');
  });

  it('fails with a ChannelClosedError if it is closed, between messages or within one', async () => {
    const whole = dom0();
    whole.fromVm.end();
    await expect(whole.channel.receive()).rejects.toThrow(ChannelClosedError);
    const within = dom0();
    within.fromVm.end(Buffer.from([5, 1]));
    const cutShort: unknown = await within.channel.receive().catch((error: unknown) => error);
    expect(cutShort).toBeInstanceOf(ChannelClosedError);
    expect(cutShort).toHaveProperty(
      'message',
      'sys-usb closed the channel in the middle of a message.',
    );
    const broken = dom0();
    broken.fromVm.destroy(new Error('EIO'));
    await expect(broken.channel.receive()).rejects.toThrow(ChannelClosedError);
    const gone = dom0();
    gone.toVm.destroy();
    await expect(gone.channel.send(request)).rejects.toThrow(ChannelClosedError);
  });

  it('times out on silence, on a message that arrives byte by byte, and on one that is not read', async () => {
    const { channel } = dom0();
    await expect(channel.receive(20)).rejects.toThrow(TimeoutError);
    const dripping = dom0();
    const drip = setInterval(() => dripping.fromVm.write(Buffer.from([100])), 5);
    await expect(dripping.channel.receive(60)).rejects.toThrow(TimeoutError);
    clearInterval(drip);
    const stuck = dom0();
    await stuck.channel.send(request);
    stuck.answer(ready);
    await stuck.channel.expect('ready');
    const bytes = Buffer.alloc(10_000);
    await expect(
      stuck.channel
        .send({ kind: 'data', offset: 0, bytes }, 20)
        .then(() => stuck.channel.send({ kind: 'data', offset: 10_000, bytes }, 20)),
    ).rejects.toThrow(TimeoutError);
  });

  it('ends at once with the reason of the signal when that is aborted', async () => {
    const controller = new AbortController();
    const { channel } = dom0(controller.signal);
    const receiving = channel.receive();
    const reason = new Error('interrupted');
    controller.abort(reason);
    await expect(receiving).rejects.toBe(reason);
    await expect(channel.send(request)).rejects.toBe(reason);
  });
});
