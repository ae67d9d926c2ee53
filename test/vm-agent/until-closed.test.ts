import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { Message } from '../../protocol/messages.ts';
import type { LocalSink } from '../../storage/local-streams.ts';
import { untilClosed } from '../../vm-agent/receive-stream.ts';

it('a file that is created while dom0 closes the channel is removed before the agent ends', async () => {
  const removed: string[] = [];
  const target: LocalSink = {
    path: 'a file',
    safeBytes: 0,
    write: () => Promise.resolve(),
    finish: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(void removed.push('a file')),
  };
  const opening = sleep(50, { target });
  const first = Promise.reject<Message>(new Error('closed'));
  const ended = untilClosed(opening, first);
  await expect(ended).rejects.toThrow('closed');
  expect(removed).toEqual(['a file']);
});
