import { messageOf } from '../../shared/errors.ts';
import type { Report } from '../../shared/report.ts';
import { RESTORE_MARK, RESTORE_IN_PROGRESS, formatRestoreMark } from '../qubes/restore-mark.ts';
import type { NewQube, QubesSystem } from '../qubes/system.ts';
import { newOwnerName } from '../qubes/owner-names.ts';

/** VMs kept from a failed restore have this tag and label, and cannot be started. */
const FAILED_TAG = 'restore-failed';
const FAILED_LABEL = 'red';

/**
 * A VM is created without network access, also for its disposables: the system's defaults may allow more
 * than it had. It gets its own settings when it is complete (restore-settings.ts).
 */
const NO_NETWORK_ACCESS: ReadonlyMap<string, string> = new Map([
  ['netvm', ''],
  ['default_dispvm', ''],
]);

/**
 * The VMs that a restore has created, so that they, and only they, can be rolled back. Until `keep` is called
 * they cannot be started, and are marked as partly restored, so that the next coffer process recognises them if
 * this one is killed.
 */
export class CreatedQubes {
  readonly #system: QubesSystem;
  readonly #report: Report;
  readonly #keepFailed: boolean;
  /** The marks by name, in the order of creation. */
  readonly #marks = new Map<string, string>();

  /** With `keepFailed`, what is rolled back is marked instead of removed. */
  constructor(system: QubesSystem, report: Report, keepFailed: boolean) {
    this.#system = system;
    this.#keepFailed = keepFailed;
    this.#report = report;
  }

  /** Creates a VM that has a mark, cannot be started, and has no network access. */
  async create(qube: NewQube): Promise<void> {
    const mark = formatRestoreMark(qube.name, await newOwnerName());
    await this.#system.create({
      ...qube,
      tags: new Set([RESTORE_IN_PROGRESS]),
      features: new Map([[RESTORE_MARK, mark]]),
      properties: NO_NETWORK_ACCESS,
    });
    this.#marks.set(qube.name, mark);
  }

  /**
   * Why the VM of this name is not the one that was created here, as the end of a sentence; undefined if it is. A
   * restore may take hours, in which the user can remove the VM, and make another.
   */
  async whyNotOwn(name: string): Promise<string | undefined> {
    const listed = await this.#system.list();
    if (!listed.some((qube) => qube.name === name)) return 'it was removed during the restore';
    const mark = await this.#system.feature(name, RESTORE_MARK);
    if (mark !== undefined && mark === this.#marks.get(name)) return undefined;
    return 'it was removed during the restore; there is another VM of that name now, which was not changed';
  }

  /**
   * Allows a VM that is complete to be started. The mark is removed first: if this process is killed, the next
   * coffer removes VMs with a mark, and must not remove one that can be started.
   */
  async keep(name: string): Promise<void> {
    await this.#system.removeFeature(name, RESTORE_MARK);
    await this.#system.removeTag(name, RESTORE_IN_PROGRESS);
  }

  /** Removes a VM that was created here and is still there, or marks it as failed. Warns when it cannot. */
  async rollBack(name: string): Promise<void> {
    if (!this.#marks.has(name)) return;
    try {
      if ((await this.whyNotOwn(name)) !== undefined) return;
      if (this.#keepFailed) await this.#mark(name);
      else await this.#system.remove(name);
    } catch (error) {
      this.#report.rollbackFailed(
        name,
        `${name} was restored only in part and is still there, so remove it by hand: ` +
          messageOf(error),
      );
    } finally {
      this.#marks.delete(name);
    }
  }

  /** Rolls back all of them, last created first: a template after the VMs based on it. */
  async rollBackAll(): Promise<void> {
    for (const name of [...this.#marks.keys()].reverse()) await this.rollBack(name);
  }

  async #mark(name: string): Promise<void> {
    await this.#system.setTag(name, FAILED_TAG);
    await this.#system.setProperty(name, 'label', FAILED_LABEL);
    await this.#system.removeFeature(name, RESTORE_MARK);
    this.#report.rollbackFailed(
      name,
      `${name} is kept, though it is incomplete: it has the tag ${FAILED_TAG}, no netvm, and cannot be ` +
        `started as long as it has the tag ${RESTORE_IN_PROGRESS}`,
    );
  }
}
