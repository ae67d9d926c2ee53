import { mkdtempSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Machine } from './methods.ts';
import { Qubesd } from './server.ts';
import { firewallLines, parseStore } from './store.ts';

/** Recorded answers of a real qubesd, and the system that they describe. */
export const RECORDED = fileURLToPath(new URL('../fixtures/qubesd/', import.meta.url));

export interface Scene extends AsyncDisposable {
  /** The directory of everything in this scene; the pool `varlibqubes` is its folder `pool`. */
  readonly directory: string;
  readonly qubesd: Qubesd;
}

export interface SceneOptions {
  readonly xml?: string;
  /** Keeps the directories of the pools in the store; by default, the pool of VMs is moved into `directory`. */
  readonly keepPools?: boolean;
  readonly machine?: Partial<Machine>;
}

/** Starts a double of qubesd, by default with the system of the transcripts. */
export async function makeScene(options: SceneOptions = {}): Promise<Scene> {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-qubesd-'));
  const store = parseStore(options.xml ?? readFileSync(join(RECORDED, 'qubes-r4.xml'), 'utf8'));
  if (options.keepPools !== true) {
    store.pools.get('varlibqubes')?.set('dir_path', join(directory, 'pool'));
  }
  const work = store.qubes.get('work');
  if (work !== undefined) {
    work.firewall = firewallLines(readFileSync(join(RECORDED, 'firewall-r4.xml'), 'utf8'));
    work.notes = 'quarterly reports\nlive here\n';
  }
  const socketPath = join(directory, 'qubesd.sock');
  const qubesd = await new Qubesd({ store, socketPath, machine: options.machine }).start();
  return {
    directory,
    qubesd,
    async [Symbol.asyncDispose]() {
      await qubesd.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
