import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

import {
  type FolderSystem,
  openFolderSystem,
} from '../../../dom0-agent/qubes/folder/folder-system.ts';
import { BARE_STORE } from '../../../dom0-agent/qubes/sandbox/sample-qubes.ts';
import { removeTree } from '../../../dom0-agent/restore/remove-tree.ts';
import { formatQubesXml } from '../../../dom0-agent/qubes/xml/format-qubes-xml.ts';
import type { DataPiece } from '../../../shared/sparse-data.ts';

export const never = new AbortController().signal;

/** Registers the clean-up of something that a test no longer needs. */
export type WhenDone = (cleanUp: () => Promise<void>) => void;

/** A new folder system with dom0, the template `debian` and the AppVM `work`; by default for one test. */
export async function smallSystem(
  whenDone: WhenDone = onTestFinished,
): Promise<{ directory: string; system: FolderSystem }> {
  const directory = await mkdtemp(join(tmpdir(), 'coffer-folder-'));
  // A test may have made read-only directories in it.
  whenDone(() => removeTree(directory));
  await mkdir(join(directory, 'dom0-home/user'), { recursive: true });
  await writeFile(join(directory, 'qubes.xml'), formatQubesXml(BARE_STORE));
  const system = await openFolderSystem(directory);
  const common = { label: 'red', pool: undefined };
  await system.create({ ...common, name: 'debian', qubeClass: 'TemplateVM', template: undefined });
  await system.create({ ...common, name: 'work', qubeClass: 'AppVM', template: 'debian' });
  return { directory, system };
}

/** Makes a VM appear to be running. */
export async function markRunning(directory: string, name: string): Promise<void> {
  await mkdir(join(directory, 'running'), { recursive: true });
  await writeFile(join(directory, 'running', name), '');
}

/** Pieces of a volume, then what `end` does, such as an error. */
export async function* pieces(
  all: readonly (readonly [offset: number, text: string])[],
  end: () => void | Promise<void> = () => undefined,
): AsyncGenerator<DataPiece, void, undefined> {
  for (const [offset, text] of all) yield { offset, bytes: Buffer.from(text) };
  await end();
}
