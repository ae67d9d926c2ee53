import { renameSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';

import { Dom0, STORAGE_VM } from '../qubesd/dom0.ts';
import { build } from './qubesd-build.ts';

beforeAll(build);

const QUBES = ['fedora-42-xfce', 'work', 'dev-box'];
const VOLUMES = [
  ['fedora-42-xfce', 'root'],
  ['work', 'private'],
  ['dev-box', 'root'],
  ['dev-box', 'private'],
] as const;

/** Does what a start and a stop of the VM do: the volume is replaced by one that it has written to. */
function restart(dom0: Dom0, [vm, volume]: (typeof VOLUMES)[number]): void {
  const image = dom0.image(vm, volume);
  writeFileSync(`${image}.new`, Buffer.alloc(dom0.volume(vm, volume).size, 'written since'));
  renameSync(`${image}.new`, image);
}

describe('a backup of VMs that are started and stopped while it is made', () => {
  it.each(['coffer-1', 'qubes-4'])(
    'in %s contains all of them in their state at its beginning',
    async (format) => {
      await using dom0 = await Dom0.make();
      const before = VOLUMES.map((volume) => dom0.sha256(volume[0], volume[1]));
      let asked = 0;
      // Settings are read once all volumes are held: in coffer-1 before all volumes, in qubes-4 after those of each VM.
      dom0.qubesd.fault = ({ method }) => {
        if (method === 'admin.vm.firewall.Get' && asked++ === 0) {
          const [, ...later] = VOLUMES;
          for (const volume of format === 'coffer-1' ? VOLUMES : later) restart(dom0, volume);
        }
        return undefined;
      };
      const where = ['-d', STORAGE_VM, '-y', '--format', format, '--compress-filter', 'none'];
      const made = await dom0.coffer(['backup', ...where, '.', ...QUBES]);
      expect(made, made.stderr).toMatchObject({ status: 0 });
      expect(asked).toBeGreaterThan(0);
      dom0.qubesd.fault = () => undefined;
      expect(dom0.sha256('work', 'private')).not.toBe(before[1]);

      const backup = dom0.stored()[0] ?? '';
      const restore = ['restore', '-y', '-d', STORAGE_VM, '--rename-conflicting', backup];
      const restored = await dom0.coffer(restore);
      expect(restored, restored.stderr).toMatchObject({ status: 0 });
      expect(VOLUMES.map(([vm, volume]) => dom0.sha256(`${vm}-1`, volume))).toEqual(before);
    },
  );
});
