import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

import { installedKernel, linesOf, makeInitrd } from './machine.ts';
import { zfsPreparation } from './zfs-preparation.ts';

/**
 * `npm run test:thin [-- --backups N --seed N]`, and `test:zfs`: simulates the use of volumes in real storage pools, in
 * a virtual machine, and fails if a changed block is missed. See docs/changes.md.
 */
const options = new Map<string, string>();
for (let at = 2; at < process.argv.length; at += 2) {
  options.set(process.argv[at] ?? '', process.argv[at + 1] ?? '');
}
const seed = options.get('--seed') ?? '1';
const backups = options.get('--backups') ?? '12';
const pool = options.get('--pool') ?? 'thin';

/** There is no udev in the machine, so LVM makes the device nodes itself. */
const LVM_CONFIGURATION = `activation {
  udev_sync = 0
  udev_rules = 0
}
`;

/** The lines of a shell script that prepare the machine for thin pools, XFS and btrfs. */
function thinPreparation(directory: string): string {
  return `export LVM_SYSTEM_DIR=/run/lvm
mkdir /run/lvm
cp ${directory}/lvm.conf /run/lvm/
for m in dm-thin-pool xfs btrfs; do modprobe $m; done`;
}

const directory = await mkdtemp(join(tmpdir(), 'coffer-pools-'));
try {
  await mkdir(directory, { recursive: true });
  const program = join(directory, 'main.mjs');
  await build({
    entryPoints: [fileURLToPath(new URL('inside/main.ts', import.meta.url))],
    ...{ bundle: true, platform: 'node', format: 'esm', target: 'node20', outfile: program },
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
  const script = join(directory, 'run.sh');
  const kernel = await installedKernel();
  await writeFile(join(directory, 'lvm.conf'), LVM_CONFIGURATION);
  await writeFile(
    script,
    `export TMPDIR=/run/tmp
mount -o remount,size=90% /run
mkdir /run/tmp /run/work
modprobe loop
${pool === 'zfs' ? await zfsPreparation(kernel) : thinPreparation(directory)}
${process.execPath} ${program} /run/work ${seed} ${backups} ${pool}
echo "ended with status $?"
`,
  );
  const initrd = await makeInitrd(directory, kernel);
  let last = 'nothing was said';
  for await (const line of linesOf(initrd, kernel, script)) {
    last = line.trim();
    process.stdout.write(`${last}\n`);
  }
  if (last !== 'ended with status 0') {
    process.stderr.write(`test:${pool}: it did not end as it should\n`);
    process.exitCode = 1;
  }
} finally {
  await rm(directory, { recursive: true });
}
