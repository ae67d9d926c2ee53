import { spawn } from 'node:child_process';
import { cp, mkdir, readdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';

import { runnerBehind } from '../../shared/run-program.ts';

const run = runnerBehind([]);

/** How long a virtual machine may take until its first output with KVM, in ms. */
const FIRST_OUTPUT_TIMEOUT = 20_000;

/** A kernel with its modules. */
export interface Kernel {
  readonly image: string;
  /** The directory with the modules. */
  readonly modules: string;
}

/** The newest kernel that is installed on this machine. Throws when there is none. */
export async function installedKernel(): Promise<Kernel> {
  const images = (await readdir('/boot')).filter((name) => name.startsWith('vmlinuz-')).sort();
  const image = images.at(-1);
  if (image === undefined) throw new Error('no kernel is installed: run tools/setup.sh thin');
  return {
    image: join('/boot', image),
    modules: join('/lib/modules', image.slice('vmlinuz-'.length)),
  };
}

/** The modules that are needed to mount the host's directories. */
const FIRST_MODULES = ['virtio_pci', '9pnet_virtio', '9p'];

/**
 * Makes, in `directory`, an initrd for a virtual machine: it mounts the host's directories read-only, and runs the
 * script there that `run=` on the kernel's command line names. Returns its path.
 */
export async function makeInitrd(directory: string, { modules }: Kernel): Promise<string> {
  const root = join(directory, 'initrd');
  for (const name of ['bin', 'modules', 'root', 'proc', 'dev']) {
    await mkdir(join(root, name), { recursive: true });
  }
  await cp('/bin/busybox', join(root, 'bin/busybox'));
  // There are none if it is linked statically.
  const libraries = await run('sh', ['-c', 'ldd /bin/busybox 2>/dev/null || true']);
  for (const [library] of libraries.matchAll(/\/\S+/g)) {
    await cp(library, join(root, library), { dereference: true });
  }
  const order: string[] = [];
  const release = basename(modules);
  for (const module of FIRST_MODULES) {
    const shown = await run('/sbin/modprobe', ['-S', release, '--show-depends', module]);
    for (const [, file = ''] of shown.matchAll(/^insmod (\S+)/gm)) {
      if (!order.includes(file)) order.push(file);
    }
  }
  for (const file of order) await cp(file, join(root, 'modules', basename(file)));
  await writeFile(join(root, 'init'), initScript(order.map((file) => basename(file))), {
    mode: 0o755,
  });
  const packed = join(directory, 'initrd.gz');
  const pack = 'cd "$0" && find . | cpio --create --format=newc --quiet | gzip -1 > "$1"';
  await run('sh', ['-c', pack, root, packed]);
  return packed;
}

function initScript(modules: readonly string[]): string {
  const mounts = [
    ...[['proc', 'proc'] as const, ['sysfs', 'sys'] as const, ['devtmpfs', 'dev'] as const],
    ['tmpfs', 'run'] as const,
  ];
  return `#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc none /proc
$b mount -t devtmpfs none /dev
for m in ${modules.join(' ')}; do $b insmod /modules/$m; done
$b mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=524288,cache=loose root /root
${mounts.map(([type, at]) => `$b mount -t ${type} none /root/${at}`).join('\n')}
run=$($b sed -n 's/.* run=\\([^ ]*\\).*/\\1/p' /proc/cmdline)
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run LC_ALL=C.UTF-8
$b chroot /root /bin/sh "$run" >/dev/ttyS1 2>&1 </dev/null
$b poweroff -f
`;
}

/**
 * Starts a virtual machine that runs a shell script of the host, and yields the lines that it prints. It uses KVM; if
 * that does not work, or the machine prints nothing, it uses emulation, which takes ten times as long.
 */
export async function* linesOf(
  initrd: string,
  kernel: Kernel,
  script: string,
): AsyncGenerator<string, void, undefined> {
  for (const accelerator of ['kvm', 'tcg'] as const) {
    const machine = start(initrd, kernel, script, accelerator);
    let isAlive = accelerator === 'tcg';
    const watch = setTimeout(() => isAlive || machine.kill('SIGKILL'), FIRST_OUTPUT_TIMEOUT);
    try {
      for await (const line of createInterface({ input: machine.stdout })) {
        isAlive = true;
        yield line;
      }
    } finally {
      clearTimeout(watch);
      machine.kill('SIGKILL');
    }
    if (isAlive) return;
  }
}

function start(initrd: string, { image }: Kernel, script: string, accelerator: 'kvm' | 'tcg') {
  const cpu = accelerator === 'kvm' ? 'host' : 'Nehalem';
  const args = [
    ...['-accel', accelerator, '-cpu', cpu, '-m', '2048', '-smp', '2', '-no-reboot', '-nodefaults'],
    ...['-display', 'none', '-monitor', 'none', '-kernel', image, '-initrd', initrd],
    ...['-append', `console=ttyS0 quiet panic=-1 run=${script}`],
    ...['-fsdev', 'local,id=root,path=/,security_model=none,readonly=on,multidevs=remap'],
    ...['-device', 'virtio-9p-pci,fsdev=root,mount_tag=root'],
    ...['-serial', 'null', '-serial', 'stdio'],
  ];
  return spawn('qemu-system-x86_64', args, {
    // If KVM does not work, its errors do not matter: emulation follows.
    stdio: ['ignore', 'pipe', accelerator === 'kvm' ? 'ignore' : 'inherit'],
  });
}
