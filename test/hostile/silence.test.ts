import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Service } from '../../protocol/conversation.ts';
import { TIME_LIMITS } from '../../dom0-agent/transport/time-limits.ts';
import { buildAgent } from './arena.ts';
import { SHORT, duel, expectDetected } from './duel.ts';
import type { Step } from './script.ts';
import { opened, ready, validFrame } from './wire.ts';

/**
 * Storage VMs that make dom0 wait, all at the same time, as they do nothing meanwhile. The timeouts are short here; the
 * real ones are in docs/protocol.md.
 */
const FILE = join(tmpdir(), `coffer-silence-${process.pid}`);
let agent: string;
beforeAll(async () => {
  agent = await buildAgent();
  writeFileSync(FILE, Buffer.alloc(1_000_000));
});

const SILENT: Step = { hear: 'nothing that dom0 ever says' };
const READY = { say: validFrame(ready()) };
const store: Step = { hear: 'storeRequest' };
const fetch: Step = { hear: 'fetchRequest' };
const browse: Step = { hear: 'browseRequest' };
const OPENED: Step[] = [{ hear: 'open' }, { say: validFrame(opened(200)) }];
const drip = (base64: string): Step => ({ drip: base64, pause: 100 });
const someData = validFrame({ kind: 'data', offset: 100, bytes: Buffer.alloc(100) });
const anEntry = validFrame({
  kind: 'entries',
  entries: [{ name: 'a', kind: 'FILE', size: 1 }],
  last: false,
  truncated: false,
});

describe.concurrent('dom0 does not wait forever', () => {
  it.each<[string, Service, Step[], RegExp]>([
    ['an answer to Store', 'Store', [SILENT], /usb has been silent/],
    ['an answer to Fetch', 'Fetch', [SILENT], /usb has been silent/],
    ['an answer to Browse', 'Browse', [SILENT], /usb has been silent/],
    ['an answer that comes byte by byte', 'Store', [store, drip(READY.say)], /usb has been silent/],
    ['a heartbeat', 'Store', [store, READY, SILENT], /usb has been silent/],
    [
      'an agent that does not read data',
      'Store',
      [store, READY, { play: 'dead' }],
      /usb (has been silent|takes no)/,
    ],
    ['the confirmation', 'Store', [store, READY, { take: 'all' }, SILENT], /usb has been silent/],
    [
      'the confirmation, while there are heartbeats',
      'Store',
      [
        store,
        READY,
        { take: 'all' },
        { say: validFrame({ kind: 'progress', bytes: 0 }), times: 300, pause: 200 },
      ],
      /usb does not finish/,
    ],
    ['a file', 'Fetch', [fetch, READY, SILENT], /usb has been silent/],
    ['data', 'Fetch', [fetch, READY, ...OPENED, SILENT], /usb has been silent/],
    [
      'data that comes byte by byte',
      'Fetch',
      [fetch, READY, ...OPENED, { hear: 'want' }, drip(someData)],
      /usb has been silent/,
    ],
    [
      'more data',
      'Fetch',
      [fetch, READY, { serve: FILE, upTo: 500_000 }, SILENT],
      /usb has been silent/,
    ],
    ['an answer to Delete', 'Delete', [SILENT], /usb has been silent/],
    ['an outcome', 'Delete', [{ hear: 'deleteRequest' }, READY, SILENT], /usb has been silent/],
    ['an answer to Assemble', 'Assemble', [SILENT], /usb has been silent/],
    [
      'a heartbeat while it copies',
      'Assemble',
      [{ hear: 'assembleRequest' }, READY, { hear: 'copy' }, SILENT],
      /usb has been silent/,
    ],
    ['a listing', 'Browse', [browse, READY, SILENT], /usb has been silent/],
    [
      'a listing that comes entry by entry',
      'Browse',
      [browse, READY, { say: anEntry, times: 600, pause: 100 }],
      /usb has been silent/,
    ],
  ])('for %s', async (what, service, steps, text) => {
    const outcome = await duel(agent, service, steps, SHORT);
    expectDetected(outcome, what, text);
    // The timeout, the wait for the end of the agent, and the pace of a busy machine.
    expect(outcome.milliseconds).toBeLessThan(45_000);
  });

  it('for the exit of an agent that ignores signals, which is killed', async () => {
    const confirmed: Step[] = [store, READY, { take: 'all' }, { confirm: {} }, { play: 'dead' }];
    const outcome = await duel(agent, 'Store', confirmed, SHORT);
    expectDetected(outcome, 'no end', /does not exit/);
    expect(outcome.milliseconds).toBeLessThan(45_000);
  });
});

it('the timeouts are those of docs/protocol.md', () => {
  expect(TIME_LIMITS).toEqual({
    answer: 60_000,
    silence: 120_000,
    stall: 300_000,
    finish: 3_600_000,
    exit: 5_000,
  });
});
