import {
  mkdirSync,
  openSync,
  closeSync,
  ftruncateSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

import { InnerFailure, Refusal } from './refusal.ts';
import type { Store, StoredQube, StoredVolume } from './store.ts';

/** Volumes, with image files as in a `file-reflink` pool. */

const GIB = 1024 ** 3;

export function volumesFor(
  store: Store,
  qube: { name: string; klass: string; template: StoredQube | undefined; pool: string },
): Map<string, StoredVolume> {
  const directory = qube.klass === 'TemplateVM' ? 'vm-templates' : 'appvms';
  const vid = (volume: string) => `${directory}/${qube.name}/${volume}`;
  const root = qube.template?.volumes.get('root');
  const privateOf = qube.template?.volumes.get('private');
  const isDisposable = qube.klass === 'DispVM';
  const from = (volume: string, size: number, source: StoredVolume | undefined): StoredVolume => ({
    pool: qube.pool,
    vid: vid(volume),
    size: source?.size ?? size,
    rw: true,
    source: source === undefined ? '' : source.source || source.vid,
    saveOnStop: source === undefined && volume !== 'volatile',
    snapOnStart: source !== undefined,
    revisionsToKeep: '1',
    ephemeral: false,
  });
  return new Map([
    ['root', from('root', 10 * GIB, root)],
    ['private', from('private', 2 * GIB, isDisposable ? privateOf : undefined)],
    ['volatile', from('volatile', 10 * GIB, undefined)],
    [
      'kernel',
      {
        pool: store.properties.get('default_pool_kernel') ?? '',
        vid: store.properties.get('default_kernel') ?? '',
        size: 0,
        rw: false,
        source: '',
        saveOnStop: false,
        snapOnStart: false,
        revisionsToKeep: '0',
        ephemeral: false,
      },
    ],
  ]);
}

/** `admin.vm.volume.Info` */
export function info(store: Store, qube: StoredQube, name: string): string {
  const volume = volumeOf(qube, name);
  const directory = directoryOf(store, volume);
  const path =
    name === 'kernel'
      ? join(directory, volume.vid, 'modules.img')
      : join(directory, `${volume.vid}-dirty.img`);
  const fields = {
    pool: volume.pool,
    vid: volume.vid,
    size: volume.size,
    usage: usageOf(store, volume),
    rw: boolean(volume.rw),
    source: volume.source,
    path,
    save_on_stop: boolean(volume.saveOnStop),
    snap_on_start: boolean(volume.snapOnStart),
    revisions_to_keep: volume.revisionsToKeep,
    ephemeral: boolean(volume.ephemeral),
    is_outdated: 'False',
  };
  return Object.entries(fields)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('');
}

/** As ReflinkVolume.usage: of the image that a running VM writes to, otherwise of the committed one. */
function usageOf(store: Store, volume: StoredVolume): number {
  const committed = imagePath(store, volume);
  for (const path of [committed.replace(/\.img$/, '-dirty.img'), committed]) {
    const blocks = statSync(path, { throwIfNoEntry: false })?.blocks;
    if (blocks !== undefined) return blocks * 512;
  }
  return 0;
}

/** `admin.vm.volume.Set.revisions_to_keep` (qubes/api/admin.py and qubes/storage of qubes-core-admin) */
export function setRevisions(qube: StoredQube, name: string, payload: string): void {
  const volume = volumeOf(qube, name);
  if (!/^-?\d+$/.test(payload)) throw new Refusal('ProtocolError', 'Invalid revisions to keep');
  if (Number(payload) < -1) {
    throw new Refusal('QubesValueError', 'Invalid value for revisions_to_keep');
  }
  volume.revisionsToKeep = payload;
}

/** `admin.vm.volume.Set.ephemeral` */
export function setEphemeral(qube: StoredQube, name: string, payload: string): void {
  const volume = volumeOf(qube, name);
  if (payload === 'True' && (volume.snapOnStart || volume.saveOnStop || !volume.rw)) {
    throw new Refusal(
      'QubesValueError',
      'Cannot enable ephemeral on snap_on_start or save_on_stop or non-dom0 or not writable volume',
    );
  }
  volume.ephemeral = payload === 'True';
}

/** `admin.vm.volume.Resize` */
export function resize(qube: StoredQube, name: string, payload: string): string {
  volumeOf(qube, name).size = byteCount(payload);
  return '';
}

/** `internal.vm.volume.ImportBegin`: the size, and where the data goes. */
export function importBegin(store: Store, qube: StoredQube, name: string, payload: string): string {
  const volume = qube.volumes.get(name);
  if (volume === undefined) {
    throw new Refusal('ProtocolError', `Argument not in ${qube.name} volumes`);
  }
  if (qube.state !== 'Halted') {
    throw new Refusal('QubesVMNotHaltedError', `Domain is not powered off: '${qube.name}'`);
  }
  const size = payload === '' ? volume.size : byteCount(payload);
  if (!volume.saveOnStop) throw new InnerFailure();
  const path = importPath(store, volume);
  mkdirSync(dirname(path), { recursive: true });
  const file = openSync(path, 'w');
  ftruncateSync(file, size);
  closeSync(file);
  return `${size} ${path}`;
}

/** `internal.vm.volume.ImportEnd`: `ok`, or `fail` and why. */
export function importEnd(store: Store, qube: StoredQube, name: string, payload: string): string {
  const volume = volumeOf(qube, name);
  const path = importPath(store, volume);
  if (payload !== 'ok') {
    rmSync(path, { force: true });
    throw new Refusal('QubesException', `Data import failed: ${payload.replace(/^fail\n/, '')}`);
  }
  volume.size = statSync(path).size;
  renameSync(path, imagePath(store, volume));
  return '';
}

/** The path of a volume's committed image. */
export function imagePath(store: Store, volume: StoredVolume): string {
  return join(directoryOf(store, volume), `${volume.vid}.img`);
}

export function removeImages(store: Store, qube: StoredQube): void {
  for (const volume of qube.volumes.values()) {
    if (!volume.saveOnStop) continue;
    rmSync(imagePath(store, volume), { force: true });
    // The file of an import that never ended is removed as well.
    rmSync(importPath(store, volume), { force: true });
  }
}

const importPath = (store: Store, volume: StoredVolume) =>
  imagePath(store, volume).replace(/\.img$/, '-import.img');
const boolean = (value: boolean) => (value ? 'True' : 'False');
const directoryOf = (store: Store, volume: StoredVolume) =>
  store.pools.get(volume.pool)?.get('dir_path') ?? '/nowhere';

function volumeOf(qube: StoredQube, name: string): StoredVolume {
  const volume = qube.volumes.get(name);
  if (volume !== undefined) return volume;
  throw new Refusal('PermissionDenied', `Argument not in '${qube.name} volumes'`);
}

function byteCount(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new Refusal('ProtocolError', 'Size of new data contains non ASCII digits');
}
