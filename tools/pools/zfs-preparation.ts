import { execFile } from 'node:child_process';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import type { Kernel } from './machine.ts';

/** The modules of ZFS; each only needs those before it. */
const MODULES = ['spl', 'zavl', 'znvpair', 'zunicode', 'zcommon', 'icp', 'zlua', 'zzstd', 'zfs'];

/**
 * The lines of a shell script that prepare the virtual machine for ZFS. If necessary, ZFS is built for its kernel, and
 * kept in the user's cache. Throws when that fails.
 */
export async function zfsPreparation({ modules }: Kernel): Promise<string> {
  const release = basename(modules);
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const directory = join(cache, 'coffer-zfs', release);
  const build = fileURLToPath(new URL('zfs.sh', import.meta.url));
  const building = promisify(execFile)('sh', [build, directory, release]);
  building.child.stdout?.pipe(process.stdout);
  building.child.stderr?.pipe(process.stderr);
  await building;
  // udev, with only the rule for ZFS volumes, makes the links that the driver waits for.
  return `export LD_LIBRARY_PATH=${directory}/libraries PATH=${directory}/programs:$PATH
for m in ${MODULES.join(' ')}; do insmod ${directory}/modules/$m.ko 2>&1; done
mount -t tmpfs none /lib/udev
mkdir /lib/udev/rules.d
cp ${directory}/udev/zvol_id /lib/udev/
cp ${directory}/udev/rules.d/60-zvol.rules /lib/udev/rules.d/
/lib/systemd/systemd-udevd --daemon >/dev/null 2>&1`;
}
