import { describe, expect, it } from 'vitest';

import { beneathCallbacks } from '../../../dom0-agent/qubes/pools/callback-pool.ts';
import { FailedError, RefusedError } from '../../../shared/errors.ts';

const settings = (id: string) =>
  new Map([
    ['name', 'mine'],
    ['driver', 'callback'],
    ['conf_id', id],
  ]);

const beneath = (id: string, configuration: unknown) =>
  beneathCallbacks('mine', settings(id), () =>
    Promise.resolve(
      typeof configuration === 'string' ? configuration : JSON.stringify(configuration),
    ),
  );

describe('a pool with callbacks', () => {
  it('has the driver and the settings in its configuration', async () => {
    const found = await beneath('luks', {
      luks: {
        bdriver: 'lvm_thin',
        bdriver_args: { volume_group: 'vg', thin_pool: 'pool', revisions_to_keep: 2 },
        pre_sinit: 'cryptsetup open …',
      },
    });
    expect(Object.fromEntries(found)).toEqual({
      driver: 'lvm_thin',
      volume_group: 'vg',
      thin_pool: 'pool',
      revisions_to_keep: '2',
    });
  });

  it('may have another pool with callbacks as its driver, but not itself', async () => {
    const configuration = {
      outer: { bdriver: 'callback', bdriver_args: { conf_id: 'inner' } },
      inner: { bdriver: 'zfs', bdriver_args: { container: 'tank/qubes' } },
      loop: { bdriver: 'callback', bdriver_args: { conf_id: 'loop' } },
    };
    expect((await beneath('outer', configuration)).get('container')).toBe('tank/qubes');
    await expect(beneath('loop', configuration)).rejects.toThrow(/endless chain/);
  });

  it('is not looked up for a pool without callbacks', async () => {
    const other = new Map([['driver', 'file']]);
    const fail = () => Promise.reject(new Error('it was read'));
    expect(await beneathCallbacks('mine', other, fail)).toBe(other);
  });

  it.each([
    ['not JSON', '{', 'luks'],
    ['a list', [], 'luks'],
    ['null', null, 'luks'],
    ['without its id', { other: { bdriver: 'file' } }, 'luks'],
    ['without its id, which is the name of a method', {}, 'constructor'],
    ['without a driver', { luks: {} }, 'luks'],
    ['with a driver that is not a text', { luks: { bdriver: 7 } }, 'luks'],
  ])('is refused by name if its configuration is %s', async (_, configuration, id) => {
    await expect(beneath(id, configuration)).rejects.toThrow(RefusedError);
    await expect(beneath(id, configuration)).rejects.toThrow(/the storage pool mine/);
  });

  it('is refused by name if its configuration cannot be read', async () => {
    const read = () => Promise.reject(new FailedError('"cat" failed (1): No such file'));
    await expect(beneathCallbacks('mine', settings('x'), read)).rejects.toThrow(
      /pool mine.*cannot be read: .*No such file/,
    );
  });
});
