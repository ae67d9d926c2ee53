import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../shared/errors.ts';
import type { Report } from '../../shared/report.ts';
import type { QubesSystem } from '../qubes/system.ts';
import { countBytes } from './count-bytes.ts';
import { ownedName } from '../qubes/volumes/owner.ts';
import {
  HALF_RESTORED_HOME,
  homeRestoreDirectory,
  makeNewDirectory,
  restoreHome,
} from './dom0-home.ts';
import type { Outcome } from './outcome.ts';

/** dom0's home in a restore. It gets its name when it is kept, and so is whole under it. */
export class RestoredHome {
  readonly #system: QubesSystem;
  readonly #report: Report;
  readonly #signal: AbortSignal;
  #outcome: Outcome | undefined;
  #partial: string | undefined;
  #target = '';

  constructor(system: QubesSystem, report: Report, signal: AbortSignal) {
    this.#system = system;
    this.#report = report;
    this.#signal = signal;
  }

  /** How it went, once it was tried. */
  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  async restore(innerTar: AsyncIterable<Buffer>): Promise<void> {
    const home = await this.#system.dom0Home();
    const partial = join(home.path, HALF_RESTORED_HOME + (await ownedName()));
    this.#target = homeRestoreDirectory(home.path, new Date());
    let bytes = 0;
    const counted = countBytes(innerTar, (length) => {
      bytes += length;
      this.#report.progress(length);
    });
    await restoreHome(counted, partial, this.#signal);
    this.#partial = partial;
    const remarks = [`its home is in ${this.#target}`];
    this.#outcome = { name: 'dom0', result: 'restored', bytes, remarks };
  }

  /** It could not be restored, and nothing is left of it. */
  fail(why: string): void {
    this.#outcome = { name: 'dom0', result: 'failed', bytes: 0, remarks: [why] };
    this.#report.warning(`dom0's home could not be restored: ${why}`);
  }

  /** The restore is whole. */
  async keep(): Promise<void> {
    if (this.#partial === undefined) return;
    try {
      // A directory takes the place of an empty one, and of nothing else.
      await makeNewDirectory(this.#target);
      await rename(this.#partial, this.#target);
    } catch (error) {
      await this.takeBack();
      this.fail(messageOf(error));
    }
  }

  async takeBack(): Promise<void> {
    if (this.#partial !== undefined) await rm(this.#partial, { recursive: true, force: true });
  }
}
