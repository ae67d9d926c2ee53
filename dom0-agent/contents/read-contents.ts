import { RefusedError } from '../../shared/errors.ts';
import {
  calledOrMatching,
  expandNames,
  refuseRepeated,
  suggestion,
} from '../qubes/names-from-user.ts';
import { type BackedUpQube, type BackupContents, dom0Trees } from '../qubes/backup-contents.ts';
import type { Header } from '../archive/archive.ts';
import { readBackupQubesXml } from '../qubes/xml/backup-qubes-xml.ts';
import { readR3QubesXml } from '../qubes/xml/read-r3-qubes-xml.ts';

const DOM0 = 'dom0';
const NOTHING_OF_DOM0 = { dom0Home: undefined, dom0Paths: undefined };

/** The part of a backup that the user chose. */
export interface SelectedContents {
  readonly qubes: readonly BackedUpQube[];
  readonly dom0Home: BackupContents['dom0Home'];
  readonly dom0Paths?: BackupContents['dom0Paths'];
  /** VMs that were chosen and cannot be restored. */
  readonly unusable: BackupContents['unusable'];
}

/**
 * The VMs of the backup that the user chose: those named, also by patterns, or all, without those excluded. Throws
 * UsageError for a name given twice, RefusedError for one that is not in the backup or when nothing is left.
 */
export function selectContents(
  contents: BackupContents,
  named: readonly string[],
  namedForExclusion: readonly string[],
): SelectedContents {
  refuseRepeated(named);
  const known = new Set([
    ...contents.qubes.flatMap(namesOf),
    ...contents.unusable.map(({ name }) => name),
  ]);
  if (dom0Trees(contents).length > 0) known.add(DOM0);
  const members = contents.qubes.map(({ qube }) => qube);
  const chosen = expandNames(named, [...known], members);
  const excluded = expandNames(namedForExclusion, [...known], members);
  for (const name of [...chosen, ...excluded]) {
    if (known.has(name)) continue;
    throw new RefusedError(
      `the backup contains no VM ${calledOrMatching(name)}${suggestion(name, [...known])}`,
    );
  }
  const isMeant = (...names: readonly string[]): boolean =>
    (chosen.length === 0 || names.some((name) => chosen.includes(name))) &&
    !names.some((name) => excluded.includes(name));
  const qubes = contents.qubes.filter((qube) => isMeant(...namesOf(qube)));
  const { dom0Home, dom0Paths } = isMeant(DOM0) ? contents : NOTHING_OF_DOM0;
  const unusable = contents.unusable.filter(({ name }) => isMeant(name));
  if (qubes.length === 0 && dom0Trees({ dom0Home, dom0Paths }).length === 0) {
    const whys = unusable.map(({ name, why }) => `; ${name}: ${why}`).join('');
    throw new RefusedError(
      `there is nothing left to do: every VM of the backup is left out${whys}`,
    );
  }
  return { qubes, dom0Home, dom0Paths, unusable };
}

function namesOf({ qube, formerName }: BackedUpQube): string[] {
  return formerName === undefined ? [qube.name] : [qube.name, formerName];
}

/** What a backup contains, from its authenticated qubes.xml. Throws DamagedError. */
export function readContents(qubesXml: string, { format }: Header): BackupContents {
  switch (format) {
    case 'coffer-1':
    case 'qubes-4':
      return readBackupQubesXml(qubesXml);
    case 'qubes-3':
    case 'qubes-2':
      return readR3QubesXml(qubesXml);
  }
}
