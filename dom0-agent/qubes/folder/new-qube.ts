import { randomUUID } from 'node:crypto';

import { RefusedError } from '../../../shared/errors.ts';
import { GiB } from '../../../shared/sizes.ts';
import { isValidQubeName } from '../qube.ts';
import type { QubesStore, StoredQube, StoredVolume } from '../xml/qubes-store.ts';
import type { NewQube } from '../system.ts';
import { poolDirectoryOf } from './folder-layout.ts';
import { requireLabel, requireTemplate } from './property-rules.ts';

/** Qubes' defaults for a new VM (qubes/config.py of qubes-core-admin). */
const ROOT_SIZE = 10 * GiB;
const PRIVATE_SIZE = 2 * GiB;
export const DEFAULT_POOL = 'varlibqubes';

/**
 * A new VM, as Qubes would describe it, with its qid and volumes. Throws RefusedError when its name,
 * label, template or pool is not one that it can have.
 */
export function describeNewQube(store: QubesStore, wanted: NewQube): StoredQube {
  const { name, qubeClass, label } = wanted;
  if (!isValidQubeName(name)) throw new RefusedError(`a VM cannot be called "${name}"`);
  const taken = [...store.qubes, ...store.unknownDomains];
  if (taken.some((qube) => qube.name === name)) {
    throw new RefusedError(`there is already a VM called ${name}`);
  }
  requireLabel(store, label);
  const pool = wanted.pool ?? store.properties.get('default_pool') ?? DEFAULT_POOL;
  if (!store.pools.has(pool)) {
    throw new RefusedError(`there is no storage pool called ${pool} on this system`);
  }
  const template =
    qubeClass === 'AppVM' || qubeClass === 'DispVM'
      ? requireTemplate(store, wanted, wanted.template)
      : undefined;
  return {
    name,
    qubeClass,
    qid: freeQid(store),
    uuid: randomUUID(),
    label,
    properties: new Map([
      ...(template === undefined ? [] : [['template', template.name] as const]),
      ...(wanted.properties ?? []),
    ]),
    features: new Map(wanted.features),
    tags: new Set(wanted.tags),
    devices: [],
    volumes: volumesOf(store, wanted, pool, template),
  };
}

/** Root and private are the VM's own, or created at each start from those of its template. */
function volumesOf(
  store: QubesStore,
  wanted: NewQube,
  pool: string,
  template: StoredQube | undefined,
): StoredVolume[] {
  const own = (name: string, size: number, saveOnStop: boolean): StoredVolume => ({
    name,
    size,
    usage: undefined,
    pool,
    vid: `${poolDirectoryOf(wanted)}/${name}`,
    saveOnStop,
    revisionsToKeep: 1,
    settings: settings(true, false),
  });
  const madeFrom = (source: StoredVolume): StoredVolume => ({
    ...own(source.name, source.size, false),
    settings: new Map([...settings(true, true), ['source', source.vid]]),
  });
  const rootOfTemplate = template?.volumes.find(({ name }) => name === 'root');
  const privateOfTemplate =
    wanted.qubeClass === 'DispVM'
      ? template?.volumes.find(({ name }) => name === 'private')
      : undefined;
  const kernel: StoredVolume = {
    name: 'kernel',
    size: 0,
    usage: undefined,
    pool: store.properties.get('default_pool_kernel') ?? 'linux-kernel',
    vid: store.properties.get('default_kernel') ?? '',
    saveOnStop: false,
    revisionsToKeep: 0,
    settings: settings(false, false),
  };
  return [
    rootOfTemplate === undefined ? own('root', ROOT_SIZE, true) : madeFrom(rootOfTemplate),
    privateOfTemplate === undefined
      ? own('private', PRIVATE_SIZE, true)
      : madeFrom(privateOfTemplate),
    own('volatile', ROOT_SIZE, false),
    kernel,
  ];
}

function settings(writable: boolean, snapOnStart: boolean): Map<string, string> {
  const word = (yes: boolean): string => (yes ? 'True' : 'False');
  return new Map([
    ['rw', word(writable)],
    ['snap_on_start', word(snapOnStart)],
  ]);
}

function freeQid(store: QubesStore): number {
  const taken = new Set(store.qubes.map(({ qid }) => qid));
  let qid = 1;
  while (taken.has(qid)) qid++;
  return qid;
}
