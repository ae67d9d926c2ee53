import type { Qube } from './qube.ts';
import { isOwnerGone } from './owner-names.ts';

/**
 * The feature of a VM that a restore is not done with; its value tells which process is at it
 * (owner-names.ts), and of which VM. A VM has it until it is whole, so that it never passes for a whole
 * one before. The name is in it since Qubes copies features: a clone, or a disposable that is based on the
 * VM, was not made by a restore.
 */
export const RESTORE_MARK = 'coffer-restoring';

/**
 * Qubes' own tag for a VM that is being restored: qubesd does not start one that has it
 * (qubes/ext/backup_restore.py of qubes-core-admin), nor a disposable based on it, which gets its tags.
 */
export const RESTORE_IN_PROGRESS = 'backup-restore-in-progress';

/** The value of the feature on the VM `name`, when `owner` restores it. */
export function formatRestoreMark(name: string, owner: string): string {
  return `${owner} ${name}`;
}

/** The process that is restoring a VM, as its mark names it; undefined for a VM without a mark of its own. */
export function ownerInMark(mark: string | undefined, name: string): string | undefined {
  const [owner = '', of] = mark?.split(' ') ?? [];
  return of === name ? owner : undefined;
}

export function isPartlyRestored({ name, features }: Pick<Qube, 'name' | 'features'>): boolean {
  return ownerInMark(features.get(RESTORE_MARK), name) !== undefined;
}

/** What helps when a VM is whole enough to be kept, but still has its mark. For the end of a message. */
export function howToUnmark(name: string): string {
  return (
    `it cannot be started, and the next restore removes it, until you use ` +
    `\`qvm-features --unset ${name} ${RESTORE_MARK}\` and \`qvm-tags ${name} del ${RESTORE_IN_PROGRESS}\``
  );
}

/**
 * Whether a VM is what a restore has left that is gone. One without the tag is not taken for one, whatever
 * else it has: it may have been started since, and hold somebody's work.
 */
export async function isAbandoned(
  name: string,
  mark: string | undefined,
  tags: ReadonlySet<string>,
): Promise<boolean> {
  return tags.has(RESTORE_IN_PROGRESS) && (await isOwnerGone(ownerInMark(mark, name) ?? ''));
}
