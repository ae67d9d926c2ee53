import { CofferError, ExitStatus, FailedError, messageOf } from '../../shared/errors.ts';
import type { Report } from '../../shared/report.ts';
import type { Outcome } from '../contents/outcome.ts';
import { howToUnmark } from '../qubes/restore-mark.ts';
import type { QubesSystem } from '../qubes/system.ts';
import { CreatedQubes } from './created-qubes.ts';
import type { PlannedRestore } from './plan-qube.ts';
import { ROUNDS, type Round, type SmallFiles, applyRound, starters } from './restore-settings.ts';

/** A VM that is being restored. */
export interface QubeRestore {
  readonly planned: PlannedRestore;
  readonly smallFiles: SmallFiles;
  readonly volumesDone: Set<string>;
  size: number;
  used: number;
  /** The settings that this system refused. */
  readonly refused: string[];
  /** Why it failed; undefined as long as it has not. */
  failure: string | undefined;
}

/**
 * The VMs of a restore. A VM that fails on this system is removed, and its outcome says why; the others go
 * on.
 */
export class RestoredQubes {
  readonly #system: QubesSystem;
  readonly #report: Report;
  readonly #signal: AbortSignal;
  readonly #created: CreatedQubes;
  /** By directory in the archive. */
  readonly #qubes: ReadonlyMap<string, QubeRestore>;

  constructor(
    planned: readonly PlannedRestore[],
    system: QubesSystem,
    keepFailed: boolean,
    report: Report,
    signal: AbortSignal,
  ) {
    this.#system = system;
    this.#report = report;
    this.#signal = signal;
    this.#created = new CreatedQubes(system, report, keepFailed);
    this.#qubes = new Map(planned.map((each) => [each.source.directory, newQubeRestore(each)]));
  }

  /** Creates all of them, templates first. */
  async createAll(): Promise<void> {
    for (const qube of this.#qubes.values()) await this.attempt(qube, () => this.#create(qube));
  }

  async #create({ planned: { newQube, properties } }: QubeRestore): Promise<void> {
    await this.#created.create(newQube);
    // Named disposables can only be created from a template with this property.
    const forDispvms = properties.get('template_for_dispvms');
    const isTemplate = [...this.#qubes.values()].some(
      ({ planned }) => planned.newQube.template === newQube.name,
    );
    if (forDispvms !== undefined && isTemplate) {
      await this.#system.setProperty(newQube.name, 'template_for_dispvms', forDispvms);
    }
  }

  /** The VM whose files are in a directory of the archive, unless it has failed. */
  inDirectory(directory: string): QubeRestore | undefined {
    const qube = this.#qubes.get(directory);
    return qube?.failure === undefined ? qube : undefined;
  }

  /** Those that have not failed. */
  remaining(): QubeRestore[] {
    return [...this.#qubes.values()].filter(({ failure }) => failure === undefined);
  }

  get outcomes(): Outcome[] {
    return [...this.#qubes.values()].map(outcomeOf);
  }

  /** Removes everything that was created. */
  async rollBack(): Promise<void> {
    await this.#created.rollBackAll();
  }

  /** Applies the VMs' settings and allows them to be started. To be called when the archive is known to be complete. */
  async finish(): Promise<void> {
    await this.#giveUpReplaced();
    for (const round of ROUNDS) await this.#applyRound(round);
    for (const qube of this.remaining()) await this.#keep(qube);
    await this.#applyRound(starters);
  }

  /** Throws FailedError if a VM is not the one that was created any more. */
  async requireOwn({ planned: { newQube } }: QubeRestore): Promise<void> {
    const why = await this.#created.whyNotOwn(newQube.name);
    if (why !== undefined) throw new FailedError(why);
  }

  async #giveUpReplaced(): Promise<void> {
    for (const qube of this.remaining()) {
      const { name } = qube.planned.newQube;
      // If that cannot be found out, applying its settings shows why.
      const why = await this.#created.whyNotOwn(name).catch(() => undefined);
      if (why !== undefined) await this.#giveUp(qube, why);
    }
  }

  /** Runs a step of one VM's restore: if it fails on this system, only this VM, and those based on it, are given up. */
  async attempt(qube: QubeRestore, step: () => Promise<void>): Promise<void> {
    if (qube.failure !== undefined) return;
    try {
      await step();
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!isOfThisSystem(error)) throw error;
      await this.#giveUp(qube, messageOf(error));
    }
  }

  /** Removes a VM, after those that use it as their template. */
  async #giveUp(qube: QubeRestore, why: string): Promise<void> {
    qube.failure = why;
    const { name } = qube.planned.newQube;
    for (const other of this.remaining()) {
      if (other.planned.newQube.template === name) {
        await this.#giveUp(other, `its template ${name} could not be restored`);
      }
    }
    await this.#created.rollBack(name);
    this.#report.warning(`${name} could not be restored: ${why}`);
    this.#report.finished(name, why);
  }

  /** A VM whose settings cannot be applied is kept, since its data is complete. */
  async #applyRound(round: Round): Promise<void> {
    for (const qube of this.remaining()) {
      try {
        qube.refused.push(...(await applyRound(round, this.#system, qube)));
      } catch (error) {
        const { name } = qube.planned.newQube;
        const why = `its data is complete, but not its settings: ${messageOf(error)}`;
        qube.failure = `${why}; ${howToUnmark(name)}`;
        this.#report.warning(`${name} is there, ${qube.failure}`);
        this.#report.finished(name, qube.failure);
      }
    }
  }

  async #keep(qube: QubeRestore): Promise<void> {
    const { name } = qube.planned.newQube;
    try {
      await this.#created.keep(name);
    } catch (error) {
      qube.failure = `it is complete, but still marked: ${messageOf(error)}; ${howToUnmark(name)}`;
      this.#report.warning(`${name}: ${qube.failure}`);
    }
    this.#report.finished(name, qube.failure);
  }
}

function newQubeRestore(planned: PlannedRestore): QubeRestore {
  return {
    planned,
    smallFiles: {},
    volumesDone: new Set(),
    size: 0,
    used: 0,
    refused: [],
    failure: undefined,
  };
}

function outcomeOf(qube: QubeRestore): Outcome {
  const { planned, smallFiles, size, used, refused, failure } = qube;
  const { name } = planned.newQube;
  if (failure !== undefined) {
    return { name, result: 'failed', size: undefined, used: 0, remarks: [failure] };
  }
  const result = refused.length === 0 ? 'restored' : 'restored in part';
  const distrusted =
    smallFiles.menu === undefined || planned.withMenu
      ? []
      : ['menu entries left out: settings are distrusted'];
  return { name, result, size, used, remarks: [...planned.remarks, ...distrusted, ...refused] };
}

/** Whether an error is one of this system, which affects one VM: one of the archive or the channel affects all. */
export function isOfThisSystem(error: unknown): boolean {
  return (
    error instanceof CofferError &&
    (error.exitStatus === ExitStatus.failed || error.exitStatus === ExitStatus.refused)
  );
}
