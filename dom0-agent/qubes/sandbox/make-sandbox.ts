import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { FailedError, messageOf, RefusedError, systemCodeOf } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';
import { formatFirewallXml } from '../xml/firewall-xml.ts';
import { FolderLayout } from '../folder/folder-layout.ts';
import { describeNewQube } from '../folder/new-qube.ts';
import { makeQubeFiles } from '../folder/qube-files.ts';
import { savedVolumes, type Volume } from '../qube.ts';
import { formatQubesXml } from '../xml/format-qubes-xml.ts';
import type { QubesStore, StoredQube } from '../xml/qubes-store.ts';
import { DOM0_FILES, EMPTY_DOM0_FILES, SAMPLE_VOLUMES } from './sample-files.ts';
import { BARE_STORE, type SampleQube, sampleQubes } from './sample-qubes.ts';
import { writeSampleTree } from './sample-tree.ts';
import { ChildProcess, whyNotRun } from '../../../shared/child-process.ts';
import { printable } from '../../../shared/printable.ts';

/** Smaller than Qubes' own, so that comparing whole volumes is quick. */
const SIZES: ReadonlyMap<string, number> = new Map([
  ['root', 1024 * MiB],
  ['private', 512 * MiB],
]);

const DOM0_USER = 'user';
/** Where the files are before they are put into an image. */
const TREE = '.tree';

export interface SandboxOptions {
  /** Only dom0, a template and the storage VM: a system to restore to. */
  readonly empty: boolean;
}

/**
 * Makes a sample folder system, about 200 MB of data, in a directory that is empty or does not exist.
 * Throws RefusedError when it is not empty, FailedError when something cannot be created; then what was
 * created is removed. qubes.xml is written last: without it, the directory is not a system.
 *
 * @param onStep called with what is being made, in words for the user
 */
export async function makeSandbox(
  directory: string,
  options: SandboxOptions,
  signal: AbortSignal,
  onStep: (text: string) => void,
): Promise<void> {
  const layout = new FolderLayout(resolve(directory));
  const wasThere = await refuseUsed(layout.directory);
  try {
    await mkdir(layout.directory, { recursive: true });
    await fill(layout, options, signal, onStep);
  } catch (error) {
    await removeMade(layout.directory, wasThere);
    if (systemCodeOf(error) === undefined) throw error;
    throw new FailedError(`the sandbox cannot be made: ${messageOf(error)}`, { cause: error });
  }
}

/** Whether the directory exists. Throws RefusedError when it is not empty. */
async function refuseUsed(directory: string): Promise<boolean> {
  try {
    if ((await readdir(directory)).length === 0) return true;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return false;
    throw new RefusedError(`a sandbox cannot be made in ${directory}: ${messageOf(error)}`);
  }
  throw new RefusedError(`${directory} is not empty: name a directory that is, or a new one`);
}

async function removeMade(directory: string, wasThere: boolean): Promise<void> {
  if (!wasThere) {
    await rm(directory, { recursive: true, force: true });
    return;
  }
  for (const name of await readdir(directory)) {
    await rm(join(directory, name), { recursive: true, force: true });
  }
}

async function fill(
  layout: FolderLayout,
  { empty }: SandboxOptions,
  signal: AbortSignal,
  onStep: (text: string) => void,
): Promise<void> {
  onStep('dom0 and its home');
  const home = join(layout.dom0Homes, DOM0_USER);
  await writeSampleTree(home, empty ? EMPTY_DOM0_FILES : DOM0_FILES, signal);
  let store = BARE_STORE;
  for (const sample of sampleQubes(empty)) {
    const qube = describeSample(store, sample);
    onStep(`${qube.qubeClass} ${qube.name}`);
    await makeQube(layout, qube, sample, signal);
    store = { ...store, qubes: [...store.qubes, qube] };
  }
  await writeFile(layout.qubesXml, formatQubesXml(store));
}

function describeSample(store: QubesStore, sample: SampleQube): StoredQube {
  const qube = describeNewQube(store, { ...sample.wanted, pool: undefined });
  return {
    ...qube,
    properties: new Map([...qube.properties, ...Object.entries(sample.properties ?? {})]),
    features: new Map(Object.entries(sample.features ?? {})),
    tags: new Set(sample.tags),
    devices: sample.devices ?? [],
    volumes: qube.volumes.map((volume) => ({
      ...volume,
      size: SIZES.get(volume.name) ?? volume.size,
    })),
  };
}

async function makeQube(
  layout: FolderLayout,
  qube: StoredQube,
  sample: SampleQube,
  signal: AbortSignal,
): Promise<void> {
  await makeQubeFiles(layout, qube);
  for (const volume of savedVolumes(qube)) await fillVolume(layout, qube, volume, signal);
  const { firewall, notes, running } = sample;
  if (firewall !== undefined) {
    await writeFile(layout.firewallXmlOf(qube), formatFirewallXml(firewall));
  }
  if (notes !== undefined) await writeFile(layout.notesOf(qube), notes);
  if (running === true) {
    await mkdir(join(layout.homeOf(qube.name), 'backups'), { recursive: true });
    await mkdir(dirname(layout.runningFileOf(qube.name)), { recursive: true });
    await writeFile(layout.runningFileOf(qube.name), '');
  }
}

async function fillVolume(
  layout: FolderLayout,
  qube: StoredQube,
  volume: Volume,
  signal: AbortSignal,
): Promise<void> {
  const tree = join(layout.directory, TREE);
  try {
    await writeSampleTree(tree, SAMPLE_VOLUMES.get(`${qube.name}/${volume.name}`) ?? [], signal);
    await makeExt4Image(layout.imageOf(qube, volume), volume.size, tree, signal);
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}

/**
 * Makes a sparse ext4 image of `size` bytes, with the files beneath `tree`. No root is needed. Throws
 * FailedError when mke2fs is missing, or fails.
 */
export async function makeExt4Image(
  image: string,
  size: number,
  tree: string,
  signal: AbortSignal,
): Promise<void> {
  // No space is reserved for root, and what would be zeros is left as holes.
  const extended = 'lazy_itable_init=1,lazy_journal_init=1,nodiscard';
  const options = ['-q', '-F', '-t', 'ext4', '-m', '0', '-E', extended];
  const blocks = `${Math.floor(size / 1024)}k`;
  await using mke2fs = new ChildProcess(['mke2fs', ...options, '-d', tree, image, blocks], {
    stdout: 'ignore',
    signal,
    // A user's PATH may lack the directories of the system's programs.
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
  });
  const { exitStatus, notRun, untrustedStderr } = await mke2fs.ended;
  signal.throwIfAborted();
  if (notRun)
    throw new FailedError(`${whyNotRun('mke2fs', notRun)}: install the package e2fsprogs`);
  if (exitStatus === 0) return;
  throw new FailedError(
    `mke2fs cannot make the sample volume ${image}: ${printable(untrustedStderr)}`,
  );
}
