import { chmodSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { rm, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { buildSync } from 'esbuild';
import { describe, expect, it } from 'vitest';

import {
  openQubesdSystem,
  type QubesdSystem,
} from '../../../dom0-agent/qubes/admin-api/qubesd-system.ts';
import type { Qube, Volume } from '../../../dom0-agent/qubes/qube.ts';
import { RefusedError } from '../../../shared/errors.ts';
import { makeSudo } from '../../qubesd/programs.ts';
import { makeScene, type Scene } from '../../qubesd/scene.ts';
import { imagePath } from '../../qubesd/volumes.ts';
import { openAtOnce } from '../open-at-once.ts';

const never = new AbortController().signal;

async function privateOf(system: QubesdSystem, name: string): Promise<[Qube, Volume]> {
  const qube = (await system.qubes()).find((one) => one.name === name);
  const volume = qube?.volumes.find((one) => one.name === 'private');
  if (qube === undefined || volume === undefined) throw new Error(`no ${name}`);
  return [qube, volume];
}

/** Writes `content` into the image of the private volume of `work`; returns its path. */
function writeImage(scene: Scene, content: string): string {
  const { store } = scene.qubesd;
  const volume = store.qubes.get('work')?.volumes.get('private');
  if (volume === undefined) throw new Error('no volume');
  const path = imagePath(store, volume);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

async function contentOf(system: QubesdSystem, name: string): Promise<string> {
  await using image = await openAtOnce(
    system.holdVolume(...(await privateOf(system, name)), never),
  );
  const buffer = Buffer.alloc(image.size);
  await image.read(buffer, 0);
  return buffer.toString();
}

/**
 * A program that stands in for LVM: `lvcreate` copies the volume in the directory of devices, and writes its tag to a
 * file.
 */
function playLvm(scene: Scene): { sudo: string; log: () => string } {
  const devices = join(scene.directory, 'dev');
  const sudo = makeSudo(scene.directory);
  const lvm = join(scene.directory, 'lvm');
  writeFileSync(
    lvm,
    `#!/bin/sh -e
cd ${devices}
for last; do :; done
case $1 in
  lvs) for lv in "$last"/*; do echo "  \${lv##*/} $(cat "tags/$lv" 2>/dev/null)"; done ;;
  lvcreate)
    for word; do
      case $word in
        --addtag=*) tag=\${word#--addtag=} ;;
        --name=*) cp "$last" "\${word#--name=}"; echo "$tag" > "tags/\${word#--name=}" ;;
      esac
    done ;;
  lvremove) rm "$last" "tags/$last" ;;
esac
`,
  );
  chmodSync(lvm, 0o755);
  mkdirSync(join(devices, 'vg'), { recursive: true });
  writeFileSync(join(devices, 'vg/vm-work-private'), 'in a logical volume');
  mkdirSync(join(devices, 'tags/vg'), { recursive: true });
  const left = 'coffer.999999999.1.00000000';
  writeFileSync(join(devices, `vg/vm-work-private+${left}-snap`), 'left');
  writeFileSync(join(devices, `tags/vg/vm-work-private+${left}-snap`), left);
  const { store } = scene.qubesd;
  store.pools.set(
    'thin',
    new Map([
      ['name', 'thin'],
      ['driver', 'lvm_thin'],
      ['volume_group', 'vg'],
      ['thin_pool', 'pool'],
    ]),
  );
  const volume = store.qubes.get('work')?.volumes.get('private');
  if (volume !== undefined) Object.assign(volume, { pool: 'thin', vid: 'vg/vm-work-private' });
  // sudo finds the stand-in by its path.
  writeFileSync(
    sudo.path,
    readFileSync(sudo.path, 'utf8').replace('exec "$@"', `PATH=${scene.directory}:$PATH exec "$@"`),
  );
  return { sudo: sudo.path, log: sudo.log };
}

function bundleReader(scene: Scene): string[] {
  const bundle = join(scene.directory, 'read-volume.mjs');
  buildSync({
    entryPoints: [fileURLToPath(new URL('../pools/read-volume.ts', import.meta.url))],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
  });
  return [process.execPath, bundle];
}

describe('opening a volume', () => {
  it('gives the last committed content, even of a running VM', async () => {
    await using scene = await makeScene();
    const path = writeImage(scene, 'committed');
    writeFileSync(path.replace('.img', '-dirty.img'), 'not yet committed');
    const system = openQubesdSystem({ socketPath: scene.qubesd.socketPath, rootPrefix: [] });
    expect(await contentOf(system, 'work')).toBe('committed');
    await system.start('work');
    expect(await contentOf(system, 'work')).toBe('committed');
  });

  it('uses sudo only to read the image', async () => {
    await using scene = await makeScene();
    writeImage(scene, 'only for root');
    const sudo = makeSudo(scene.directory);
    const readVolume = bundleReader(scene);
    const system = openQubesdSystem({
      socketPath: scene.qubesd.socketPath,
      rootPrefix: [sudo.path, '-n', '--'],
      readVolume,
    });
    expect(await contentOf(system, 'work')).toBe('only for root');
    const holding = expect.stringMatching(/^bash --norc -c/) as string;
    const asked = /^(\S+) (\S+) \/proc\/\d+\/fd\/\d+ the volume private of work$/;
    const [first, ...script] = sudo.log().trimEnd().split('\n');
    expect(first).toEqual(holding);
    expect(asked.exec(script.at(-1) ?? '')?.slice(1)).toEqual(readVolume);
  });

  it.each([
    [
      'was started, and so writes to it',
      async (system: QubesdSystem) => system.start('work'),
      /work was started while the volume private of work was read/,
    ],
    [
      'was started and shut down again',
      async (_: QubesdSystem, path: string) => writeFile(path, 'torn, no end'),
      /the volume private of work was changed while it was read/,
    ],
    [
      'was resized',
      async (_: QubesdSystem, path: string) => truncate(path, 100),
      /the volume private of work was changed while it was read/,
    ],
    [
      'was removed',
      async (_: QubesdSystem, path: string, { qubesd }: Scene) => {
        await rm(path);
        qubesd.store.qubes.delete('work');
      },
      /private of work cannot be read: work was removed in the meantime/,
    ],
  ])('notices that a VM without a saved state %s', async (_, happens, sentence) => {
    await using scene = await makeScene();
    const path = writeImage(scene, 'as it was');
    const past = new Date(Date.now() - 60_000);
    utimesSync(path, past, past);
    const stored = scene.qubesd.store.qubes.get('work')?.volumes.get('private');
    if (stored !== undefined) stored.revisionsToKeep = '-1';
    const system = openQubesdSystem({ socketPath: scene.qubesd.socketPath, rootPrefix: [] });
    const image = await openAtOnce(system.holdVolume(...(await privateOf(system, 'work')), never));
    await image.requireUnchanged();
    await happens(system, path, scene);
    await expect(image.requireUnchanged()).rejects.toThrow(sentence);
    await image[Symbol.asyncDispose]();
  });

  it('says why a volume cannot be read, before it is opened', async () => {
    await using scene = await makeScene();
    const system = openQubesdSystem({ socketPath: scene.qubesd.socketPath, rootPrefix: [] });
    const { pools, qubes } = scene.qubesd.store;
    const why = async (isRunning: boolean) =>
      system.whyUnreadable((await privateOf(system, 'work'))[1], isRunning);
    expect(await why(true)).toBeUndefined();
    const stored = qubes.get('work')?.volumes.get('private');
    if (stored === undefined) throw new Error('no volume');
    stored.revisionsToKeep = '-1';
    expect(await why(true)).toMatch(
      /its volume private has no separate saved state.*revisions_to_keep is -1/,
    );
    expect(await why(false)).toBeUndefined();
    pools.set('old', new Map([...(pools.get('varlibqubes') ?? []), ['driver', 'file']]));
    Object.assign(stored, { pool: 'old', revisionsToKeep: '1' });
    expect(await why(true)).toMatch(
      /its volume private has no separate saved state.*the pool old keeps none/,
    );
    expect(await why(false)).toBeUndefined();
    stored.pool = 'gone';
    expect(await why(false)).toMatch(/admin.pool.Info\+gone/);
  });

  it('finds the driver in a pool with callbacks', async () => {
    await using scene = await makeScene();
    writeImage(scene, 'beneath');
    const callbackConfiguration = join(scene.directory, 'qubes_callback.json');
    const bdriver_args = { dir_path: join(scene.directory, 'pool'), revisions_to_keep: 0 };
    writeFileSync(
      callbackConfiguration,
      JSON.stringify({
        outer: { bdriver: 'callback', bdriver_args: { conf_id: 'inner' }, cmd: 'false' },
        inner: { bdriver: 'file-reflink', bdriver_args },
        strange: { bdriver: 'from-elsewhere' },
      }),
    );
    const callback = (id: string) =>
      new Map([
        ['driver', 'callback'],
        ['conf_id', id],
      ]);
    scene.qubesd.store.pools.set('wrapped', callback('outer'));
    scene.qubesd.store.pools.set('strange', callback('strange'));
    const stored = scene.qubesd.store.qubes.get('work')?.volumes.get('private');
    if (stored !== undefined) stored.pool = 'wrapped';
    const options = { socketPath: scene.qubesd.socketPath, rootPrefix: [], callbackConfiguration };
    const system = openQubesdSystem(options);
    expect(await contentOf(system, 'work')).toBe('beneath');
    await system.removeStaleSnapshots();
    if (stored !== undefined) stored.pool = 'strange';
    await expect(contentOf(system, 'work')).rejects.toThrow(/pool strange.*"from-elsewhere"/);
  });

  it('names the volume if its image is missing', async () => {
    await using scene = await makeScene();
    const system = openQubesdSystem({ socketPath: scene.qubesd.socketPath, rootPrefix: [] });
    await expect(contentOf(system, 'work')).rejects.toThrow(
      /the volume private of work has no committed content.*appvms\/work\/private\.img/,
    );
  });

  it('is refused for a pool of an unknown kind', async () => {
    await using scene = await makeScene();
    scene.qubesd.store.pools.get('varlibqubes')?.set('driver', 'odd');
    const system = openQubesdSystem({ socketPath: scene.qubesd.socketPath, rootPrefix: [] });
    await expect(contentOf(system, 'work')).rejects.toThrow(RefusedError);
  });

  it('takes a snapshot of a logical volume, and leaves nothing behind', async () => {
    await using scene = await makeScene();
    const { sudo, log } = playLvm(scene);
    const devices = join(scene.directory, 'dev');
    const options = {
      socketPath: scene.qubesd.socketPath,
      rootPrefix: [sudo, '-n', '--'],
      readVolume: bundleReader(scene),
      devices,
    };
    const system = openQubesdSystem(options);
    expect(await contentOf(system, 'work')).toBe('in a logical volume');
    expect(await contentOf(system, 'work')).toBe('in a logical volume');
    const ran = log()
      .split('\n')
      .map((line) => line.split(' ').slice(0, 2).join(' '));
    expect(ran.filter((line) => line.startsWith('lvm'))).toEqual([
      'lvm lvs',
      'lvm lvremove',
      ...['lvm lvcreate', 'lvm lvchange', 'lvm lvremove'],
      ...['lvm lvcreate', 'lvm lvchange', 'lvm lvremove'],
    ]);

    // Also if it cannot be read.
    const broken = openQubesdSystem({ ...options, readVolume: ['false'] });
    await expect(contentOf(broken, 'work')).rejects.toThrow(
      /private of work cannot be read as root/,
    );
    rmSync(join(devices, 'vg/vm-work-private'));
    await expect(contentOf(system, 'work')).rejects.toThrow(/lvcreate/);
    expect(log().match(/lvcreate/g)?.length).toBe(4);
    expect(log().match(/lvremove/g)?.length).toBe(4);
  });
});
