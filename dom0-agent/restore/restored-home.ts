import { open, rename, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../shared/errors.ts';
import type { Report } from '../../shared/report.ts';
import type { QubesSystem } from '../qubes/system.ts';
import { countBytes } from '../contents/backed-up-files.ts';
import { newOwnerName } from '../qubes/owner-names.ts';
import { type Dom0Tree, PARTIAL_HOME_PREFIX, makeNewDirectory, unpackHome } from './unpack-home.ts';
import type { Outcome } from '../contents/outcome.ts';
import { removePartialHome } from './remove-tree.ts';

/** dom0's home or configuration in a restore. It only gets its final name in `keep`, when it is complete. */
export class RestoredTree {
  readonly #tree: Dom0Tree;
  readonly #system: QubesSystem;
  readonly #report: Report;
  readonly #signal: AbortSignal;
  #outcome: Outcome | undefined;
  #partial: string | undefined;
  #home = '';
  #target = '';

  constructor(tree: Dom0Tree, system: QubesSystem, report: Report, signal: AbortSignal) {
    this.#tree = tree;
    this.#system = system;
    this.#report = report;
    this.#signal = signal;
  }

  /** The outcome, once a restore was attempted. */
  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  /** Unpacks the tree under a temporary name. Throws like `unpackHome`. */
  async restore(innerTar: AsyncIterable<Buffer>): Promise<void> {
    this.#home = (await this.#system.dom0Home()).path;
    const partial = join(this.#home, PARTIAL_HOME_PREFIX + (await newOwnerName()));
    this.#target = this.#tree.directoryIn(this.#home, new Date());
    let bytes = 0;
    this.#report.working('dom0', this.#tree.name);
    const counted = countBytes(innerTar, (length) => {
      bytes += length;
      this.#report.progress('dom0', length);
    });
    const missing = await unpackHome(counted, partial, this.#report, this.#signal, this.#tree);
    this.#partial = partial;
    const remarks = [`its ${this.#tree.name} is in ${this.#target}`, ...missing];
    const result = missing.length === 0 ? 'restored' : 'restored in part';
    this.#outcome = { name: 'dom0', result, size: undefined, used: bytes, remarks };
  }

  /** Notes that it could not be restored, and that nothing of it remains. */
  fail(why: string): void {
    this.#outcome = { name: 'dom0', result: 'failed', size: undefined, used: 0, remarks: [why] };
    this.#report.warning(`dom0's ${this.#tree.name} could not be restored: ${why}`);
    this.#report.finished('dom0', why);
  }

  /** Gives the tree its final name, once the whole restore has succeeded. If that fails, the outcome says why. */
  async keep(): Promise<void> {
    if (this.#partial === undefined) return;
    try {
      // rename replaces an empty directory, and nothing else.
      await makeNewDirectory(this.#target);
      await this.#rename(this.#partial);
    } catch (error) {
      await this.rollBack();
      this.fail(messageOf(error));
      return;
    }
    await this.#makeNameLast();
    this.#report.finished('dom0');
  }

  async #rename(partial: string): Promise<void> {
    try {
      await rename(partial, this.#target);
    } catch (error) {
      await rmdir(this.#target).catch(() => undefined);
      throw error;
    }
    this.#partial = undefined;
  }

  /** The tree is there, whether or not its name outlasts a power failure. */
  async #makeNameLast(): Promise<void> {
    try {
      await using home = await open(this.#home);
      await home.sync();
    } catch (error) {
      this.#report.warning(
        `dom0's ${this.#tree.name} was restored, but a power failure may undo it: ${messageOf(error)}`,
      );
    }
  }

  /** Removes what was unpacked, if it does not have its final name. */
  async rollBack(): Promise<void> {
    if (this.#partial !== undefined) await removePartialHome(this.#partial, this.#report);
  }
}
