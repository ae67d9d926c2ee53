import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  AdminApiError,
  formatLikePython,
  NO_REPLY,
  parseReply,
} from '../../../dom0-agent/qubes/admin-api/admin-api-error.ts';
import { openAdminApi } from '../../../dom0-agent/qubes/admin-api/admin-api.ts';
import { FailedError, InterruptedError } from '../../../shared/errors.ts';
import { eventually } from '../../eventually.ts';
import { makeScene } from '../../qubesd/scene.ts';

describe('parseReply', () => {
  it('gives the data of a reply, of any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (data) => {
        const reply = Buffer.concat([Buffer.from('0\0'), data]);
        expect(parseReply(reply, 'x').equals(data)).toBe(true);
      }),
    );
  });

  it('puts the arguments of an exception into its message', () => {
    const reply = Buffer.from(
      '2\0QubesException\0trace\nback\0%s of %r is %d %% full\0a\0b\x003\0',
    );
    expect(() => parseReply(reply, 'call')).toThrow(
      "qubesd refused call: a of 'b' is 3 % full (QubesException)",
    );
  });

  it('shows no control characters', () => {
    const reply = Buffer.from('2\0Evil\x1b[31m\0\0line one\n\x1b]0;title\x07\0');
    expect(() => parseReply(reply, 'call')).toThrow('line one ?]0;title? (Evil?[31m)');
  });

  it('reads any bytes or fails with a FailedError', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.constantFrom('', '0', '1\0', '2', '2\0'), (data, header) => {
        try {
          parseReply(Buffer.concat([Buffer.from(header), data]), 'x');
        } catch (error) {
          expect(error).toBeInstanceOf(FailedError);
        }
      }),
    );
  });
});

it('formatLikePython leaves a conversion without an argument unchanged', () => {
  expect(formatLikePython('100% of %s', [])).toBe('100% of %s');
  expect(formatLikePython('%s%s', ['%s', 'x'])).toBe('%sx');
});

describe('a call', () => {
  it('gives the data, and the type of an exception', async () => {
    await using scene = await makeScene();
    const api = openAdminApi({ socketPath: scene.qubesd.socketPath });
    expect(await api('work', 'admin.vm.feature.Get', 'service.cups')).toBe('1');
    await expect(api('work', 'admin.vm.feature.Get', 'nosuch')).rejects.toMatchObject({
      type: 'QubesFeatureNotFoundError',
      message: expect.stringContaining('admin.vm.feature.Get+nosuch for work') as string,
    });
  });

  it('fails with an AdminApiError if qubesd gives no answer', async () => {
    await using scene = await makeScene();
    const api = openAdminApi({ socketPath: scene.qubesd.socketPath });
    const call = api('dom0', 'admin.vm.CurrentState');
    await expect(call).rejects.toBeInstanceOf(AdminApiError);
    await expect(call).rejects.toMatchObject({ type: NO_REPLY });
  });

  it('is refused, and not sent, if its arguments could make it another call', async () => {
    await using scene = await makeScene();
    const api = openAdminApi({ socketPath: scene.qubesd.socketPath });
    for (const name of ['x dom0 name dev-box', 'x\0', 'x\ny', 'ü']) {
      await expect(api('work', 'admin.vm.tag.Set', name)).rejects.toThrow(FailedError);
    }
    await expect(api('work', 'admin.vm.device.pci.Assign+x.Assign', 'y')).rejects.toThrow();
    expect(scene.qubesd.calls).toEqual([]);
  });

  it('is refused if it has 64 KiB or more', async () => {
    await using scene = await makeScene();
    const api = openAdminApi({ socketPath: scene.qubesd.socketPath });
    const length = 65_535 - 'admin.vm.notes.Set+ dom0 name work\0'.length;
    await api('work', 'admin.vm.notes.Set', '', { payload: 'n'.repeat(length) });
    const longer = api('work', 'admin.vm.notes.Set', '', { payload: 'n'.repeat(length + 1) });
    await expect(longer).rejects.toThrow(/65536 bytes are more than its limit/);
  });

  it('waits while sixteen others are running', async () => {
    await using scene = await makeScene();
    const api = openAdminApi({ socketPath: scene.qubesd.socketPath });
    const calls = Array.from({ length: 200 }, () => api('work', 'admin.vm.tag.List'));
    expect(new Set(await Promise.all(calls)).size).toBe(1);
    expect(scene.qubesd.mostAtOnce).toBeLessThanOrEqual(16);
  });
});

describe('a call to a qubesd that is not there', () => {
  it('fails with advice', async () => {
    const api = openAdminApi({ socketPath: '/nowhere/qubesd.sock' });
    await expect(api('dom0', 'admin.vm.List')).rejects.toThrow(
      /qubesd is not running.*systemctl start qubesd/,
    );
  });

  it('fails if qubesd restarts meanwhile, and succeeds afterwards', async () => {
    await using scene = await makeScene();
    const { qubesd } = scene;
    const api = openAdminApi({ socketPath: qubesd.socketPath });
    qubesd.fault = () => ({ kind: 'hang' });
    const call = api('dom0', 'admin.vm.List');
    const refused = expect(call).rejects.toThrow(/restarting/);
    await eventually(() => qubesd.calls.length > 0, 'qubesd has the call');
    await qubesd.stop();
    await refused;
    await expect(api('dom0', 'admin.vm.List')).rejects.toThrow(/not running/);

    qubesd.fault = () => undefined;
    await qubesd.start();
    expect(await api('dom0', 'admin.label.List')).toMatch(/^red\n/);
  });

  it('times out if qubesd is silent', async () => {
    await using scene = await makeScene();
    scene.qubesd.fault = () => ({ kind: 'hang' });
    const api = openAdminApi({ socketPath: scene.qubesd.socketPath, timeout: 50 });
    await expect(api('dom0', 'admin.vm.List')).rejects.toThrow(/did not answer within 0.05 s/);
  });

  it('times out together with the calls that wait for it', async () => {
    await using scene = await makeScene();
    scene.qubesd.fault = () => ({ kind: 'hang' });
    const api = openAdminApi({ socketPath: scene.qubesd.socketPath, timeout: 100 });
    const calls = Array.from({ length: 500 }, () => api('dom0', 'admin.vm.List'));
    const outcomes = await Promise.allSettled(calls);
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(500);
    expect(scene.qubesd.calls.length).toBeLessThan(50);
    // Later calls are sent.
    scene.qubesd.fault = () => undefined;
    expect(await api('dom0', 'admin.label.List')).toMatch(/^red/);
  });

  it('ends when it is interrupted', async () => {
    await using scene = await makeScene();
    scene.qubesd.fault = () => ({ kind: 'hang' });
    const controller = new AbortController();
    const { socketPath } = scene.qubesd;
    const api = openAdminApi({ socketPath, signal: controller.signal });
    const calls = Array.from({ length: 30 }, () => api('dom0', 'admin.vm.List'));
    const all = Promise.all(calls.map((call) => expect(call).rejects.toThrow(InterruptedError)));
    setTimeout(() => controller.abort(), 20);
    await all;
  });
});
