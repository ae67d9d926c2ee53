import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { openArchive } from '../../dom0-agent/archive/open-archive.ts';
import type { FolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import type { RestoreChoices } from '../../dom0-agent/restore/plan-input.ts';
import type { Outcome } from '../../dom0-agent/contents/outcome.ts';
import { planRestore } from '../../dom0-agent/restore/plan-restore.ts';
import { readContents } from '../../dom0-agent/contents/read-contents.ts';
import { runRestore } from '../../dom0-agent/restore/run-restore.ts';
import { selectContents } from '../../dom0-agent/contents/read-contents.ts';
import { readSystemState } from '../../dom0-agent/restore/plan-input.ts';
import { verifyBackup } from '../../dom0-agent/verify/run-verify.ts';
import type { Report } from '../../shared/report.ts';
import { inputOf } from '../archive/memory.ts';
import { type WhenDone, never, smallSystem } from '../qubes/folder/small-system.ts';
import { NO_CHOICES } from './planning.ts';

/** Collects the warnings. */
export class Warnings implements Report {
  readonly texts: string[] = [];

  info(): void {
    // Nobody looks.
  }

  warning(text: string): void {
    this.texts.push(text);
  }

  rollbackFailed(_what: string, warning: string): void {
    this.texts.push(warning);
  }

  phase(): void {
    // Nobody looks.
  }

  working(): void {
    // Nobody looks.
  }

  progress(): void {
    // Nobody looks.
  }

  known(): void {
    // Nobody looks.
  }

  finished(): void {
    // Nobody looks.
  }
}

/** A folder system with only the template `debian-13`, its default. */
export async function emptySystem(
  whenDone?: WhenDone,
): Promise<{ directory: string; system: FolderSystem }> {
  const { directory, system } = await smallSystem(whenDone);
  await system.remove('work');
  await system.remove('debian');
  const common = { label: 'red', pool: undefined, template: undefined };
  await system.create({ ...common, name: 'debian-13', qubeClass: 'TemplateVM' });
  return { directory, system };
}

/** The names of the VMs in an archive in memory. */
export async function listArchive(
  archive: Buffer,
  passphrase: string,
  seekable = true,
): Promise<string[]> {
  const reader = await openArchive(inputOf(archive, seekable), Buffer.from(passphrase), never);
  const { qubes } = readContents(await reader.qubesXml(), reader.header);
  return qubes.map(({ qube }) => qube.name);
}

/** Restores an archive in memory, with defaults in place of missing templates, netvms and so on. */
export async function restoreArchive(
  archive: Buffer,
  passphrase: string,
  system: FolderSystem,
  choices: Partial<RestoreChoices> = {},
  seekable = true,
): Promise<Outcome[]> {
  const reader = await openArchive(inputOf(archive, seekable), Buffer.from(passphrase), never);
  const contents = readContents(await reader.qubesXml(), reader.header);
  const plan = planRestore(contents, await readSystemState(system), {
    ...NO_CHOICES,
    ignoreMissing: true,
    ignoreUsernameMismatch: true,
    ...choices,
  });
  const options = { keepFailed: false, ignoreSizeLimit: false };
  return runRestore(plan, reader, system, options, new Warnings(), never);
}

export async function verifyArchive(
  archive: Buffer,
  passphrase: string,
  seekable = true,
): Promise<Outcome[]> {
  const reader = await openArchive(inputOf(archive, seekable), Buffer.from(passphrase), never);
  const contents = readContents(await reader.qubesXml(), reader.header);
  return verifyBackup(selectContents(contents, [], []), reader, new Warnings(), never);
}

/** The SHA-256 of each saved volume of a restored VM, by file name. */
export async function hashesOf(
  directory: string,
  system: FolderSystem,
  name: string,
): Promise<Record<string, string>> {
  const qube = (await system.qubes()).find((each) => each.name === name);
  const volumes = (qube?.volumes ?? []).filter(({ saveOnStop }) => saveOnStop);
  return Object.fromEntries(
    volumes.map(({ name: volume, vid }) => {
      const image = readFileSync(join(directory, `${vid}.img`));
      return [`${volume}.img`, createHash('sha256').update(image).digest('hex')];
    }),
  );
}
