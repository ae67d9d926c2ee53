import type { Qube } from './qube.ts';
import { isOwnerGone } from './owner-names.ts';

/**
 * The feature of a VM whose restore is not finished; its value names the process that restores it
 * (owner-names.ts) and the VM. A VM has it until it is complete, so that it is never mistaken for a
 * complete one. The name is included because Qubes copies features: a clone, or a disposable based on the
 * VM, was not created by a restore.
 */
export const RESTORE_MARK = 'coffer-restoring';

/**
 * Qubes' own tag for a VM that is being restored: qubesd does not start one that has it
 * (qubes/ext/backup_restore.py of qubes-core-admin), nor a disposable based on it, which gets its tags.
 */
export const RESTORE_IN_PROGRESS = 'backup-restore-in-progress';

/** The value of the feature on the VM `name` that `owner` restores. */
export function formatRestoreMark(name: string, owner: string): string {
  return `${owner} ${name}`;
}

/** The process that is restoring a VM, according to its mark; undefined for a VM without its own mark. */
export function ownerInMark(mark: string | undefined, name: string): string | undefined {
  const [owner = '', of] = mark?.split(' ') ?? [];
  return of === name ? owner : undefined;
}

/** Whether the restore of a VM is not finished, or was not when it ended. */
export function isPartlyRestored({ name, features }: Pick<Qube, 'name' | 'features'>): boolean {
  return ownerInMark(features.get(RESTORE_MARK), name) !== undefined;
}

/** What to do when a VM is complete enough to be kept, but still has its mark. For the end of a message. */
export function howToUnmark(name: string): string {
  return (
    `it cannot be started, and the next restore removes it, until you use ` +
    `\`qvm-features --unset ${name} ${RESTORE_MARK}\` and \`qvm-tags ${name} del ${RESTORE_IN_PROGRESS}\``
  );
}

/**
 * Whether a VM was left by a restore whose process has ended. A VM without the tag never counts, whatever
 * else it has: it may have been started since, and contain the user's work.
 */
export async function isAbandoned(
  name: string,
  mark: string | undefined,
  tags: ReadonlySet<string>,
): Promise<boolean> {
  return tags.has(RESTORE_IN_PROGRESS) && (await isOwnerGone(ownerInMark(mark, name) ?? ''));
}
