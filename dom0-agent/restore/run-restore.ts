import {
  CofferError,
  DamagedError,
  ExitStatus,
  FailedError,
  messageOf,
} from '../../shared/errors.ts';
import { MiB } from '../../shared/sizes.ts';
import type { Report } from '../../shared/report.ts';
import type { ArchiveReader, ArchivedFile } from '../archive/archive.ts';
import { howToUnmark } from '../qubes/restore-mark.ts';
import { savedVolumes } from '../qubes/qube.ts';
import type { QubesSystem } from '../qubes/system.ts';
import type { DataPiece } from '../../shared/sparse-data.ts';
import { parseArchivedPath } from '../contents/archived-files.ts';
import {
  type BackedUpFile,
  backedUpFiles,
  textOf,
  whyIncomplete,
} from '../contents/backed-up-files.ts';
import { FilesSeen, refuseMissing } from '../contents/archived-files.ts';
import { CreatedQubes } from './created-qubes.ts';
import { damageTo } from '../contents/damage.ts';
import type { Outcome } from '../contents/outcome.ts';
import type { RestorePlan } from './plan-restore.ts';
import { RestoredHome } from './restored-home.ts';
import { type QubeRestore, outcomeOf, newQubeRestore } from './qube-restore.ts';
import { ROUNDS, type Round, applyRound, starters } from './restore-settings.ts';
import { TooLargeError, requireWithinLimit } from '../contents/size-limits.ts';

/** The most that firewall.xml or notes.txt may have: Qubes keeps notes below 256 KiB. */
const LARGEST_SMALL_FILE = 1 * MiB;

export interface RestoreOptions {
  /** Keep a VM that failed, marked, rather than remove it. */
  readonly keepFailed: boolean;
  /** Take volumes that are larger than the backup's settings say. */
  readonly ignoreSizeLimit: boolean;
}

/**
 * Carries out a restore's plan: creates the VMs, imports each volume from authenticated data only, and
 * when the archive has proved complete, gives the VMs their settings, and last of all lets them be
 * started. A VM that this system
 * fails on is removed and told in its outcome, the others go on. When the archive itself fails,
 * everything that was created is removed and the error thrown.
 */
export async function runRestore(
  plan: RestorePlan,
  reader: ArchiveReader,
  system: QubesSystem,
  options: RestoreOptions,
  report: Report,
  signal: AbortSignal,
): Promise<Outcome[]> {
  return new RestoreRun(plan, system, options, report, signal).run(reader);
}

class RestoreRun {
  readonly #plan: RestorePlan;
  readonly #system: QubesSystem;
  readonly #options: RestoreOptions;
  readonly #report: Report;
  readonly #signal: AbortSignal;
  readonly #created: CreatedQubes;
  /** By directory in the archive. */
  readonly #qubes: ReadonlyMap<string, QubeRestore>;
  readonly #seen: FilesSeen;
  readonly #home: RestoredHome;

  constructor(
    plan: RestorePlan,
    system: QubesSystem,
    options: RestoreOptions,
    report: Report,
    signal: AbortSignal,
  ) {
    this.#plan = plan;
    this.#seen = new FilesSeen({
      qubes: plan.qubes.map(({ source }) => source),
      dom0Home: plan.dom0Home,
    });
    this.#system = system;
    this.#options = options;
    this.#report = report;
    this.#signal = signal;
    this.#home = new RestoredHome(system, report, signal);
    this.#created = new CreatedQubes(system, report, options.keepFailed);
    this.#qubes = new Map(
      plan.qubes.map((planned) => [planned.source.directory, newQubeRestore(planned)]),
    );
  }

  async run(reader: ArchiveReader): Promise<Outcome[]> {
    try {
      for (const qube of this.#qubes.values()) await this.#attempt(qube, () => this.#create(qube));
      for await (const file of reader.files((path) => this.#isWanted(path))) {
        this.#signal.throwIfAborted();
        await this.#restoreFile(file).catch((error: unknown) => {
          throw this.#inWords(error, file.path);
        });
      }
      this.#checkComplete();
    } catch (error) {
      await this.#created.rollBackAll();
      await this.#home.rollBack();
      throw error;
    }
    // What remains takes a moment, and VMs that refer to each other cannot be taken back: so no
    // interrupt from here on.
    for (const round of ROUNDS) await this.#applyRound(round);
    for (const qube of this.#going()) await this.#keep(qube);
    await this.#applyRound(starters);
    await this.#home.keep();
    const outcomes = [...this.#qubes.values()].map(outcomeOf);
    return this.#home.outcome === undefined ? outcomes : [...outcomes, this.#home.outcome];
  }

  /** Damage to a file of the archive, as the user knows it. */
  #inWords(error: unknown, path: string): unknown {
    if (!(error instanceof DamagedError) || error instanceof TooLargeError) return error;
    const damage = damageTo(path, error, {
      qubes: this.#plan.qubes.map(({ source }) => source),
      dom0Home: this.#plan.dom0Home,
    });
    if (damage === undefined) return error;
    return new DamagedError(
      `${damage.name}: ${damage.what}: nothing was restored. \`coffer verify\` tells which VMs are whole, ` +
        `and those can be restored by name; docs/recovery.md tells how to take out of the others by hand what ` +
        `lies before the damage.`,
      { cause: error },
    );
  }

  async #create({ planned: { newQube, properties } }: QubeRestore): Promise<void> {
    await this.#created.create(newQube);
    // Named disposables can only be created from a template that has this set.
    const forDispvms = properties.get('template_for_dispvms');
    const isTemplate = this.#plan.qubes.some((other) => other.newQube.template === newQube.name);
    if (forDispvms !== undefined && isTemplate) {
      await this.#system.setProperty(newQube.name, 'template_for_dispvms', forDispvms);
    }
  }

  #isWanted(path: string): boolean {
    return path === this.#plan.dom0Home?.directory || this.#qubeOf(path) !== undefined;
  }

  /** The VM that a file of the archive belongs to, unless it has failed. */
  #qubeOf(path: string): QubeRestore | undefined {
    const qube = this.#qubes.get(parseArchivedPath(path).directory);
    return qube?.failure === undefined ? qube : undefined;
  }

  async #restoreFile(file: ArchivedFile): Promise<void> {
    if (file.path === this.#plan.dom0Home?.directory) return this.#restoreHome(file);
    const qube = this.#qubeOf(file.path);
    if (qube === undefined) return;
    this.#seen.note(file.path);
    if (parseArchivedPath(file.path).kind === 'other') return;
    for await (const backedUp of backedUpFiles(file)) {
      this.#seen.note(backedUp.path);
      await this.#attempt(qube, () => this.#take(qube, backedUp));
      if (qube.failure !== undefined) return;
    }
  }

  async #take(qube: QubeRestore, file: BackedUpFile): Promise<void> {
    const place = parseArchivedPath(file.path);
    switch (place.kind) {
      case 'volume':
        return this.#importVolume(qube, place.volume, file);
      case 'firewall':
        qube.smallFiles.firewallXml = await textOf(file, LARGEST_SMALL_FILE);
        return;
      case 'notes':
        qube.smallFiles.notes = await textOf(file, LARGEST_SMALL_FILE);
        return;
      case 'menu':
        qube.smallFiles.menu = await textOf(file, LARGEST_SMALL_FILE);
        return;
      case 'incomplete':
        throw new FailedError(await whyIncomplete(file));
      case 'directory':
      case 'other':
    }
  }

  async #importVolume(qube: QubeRestore, volume: string, file: BackedUpFile): Promise<void> {
    const { source, newQube } = qube.planned;
    // A whole directory also holds volumes that are made anew at each start.
    if (!savedVolumes(source.qube).some(({ name }) => name === volume)) return;
    if (qube.volumesDone.has(volume)) {
      throw new DamagedError(`the backup holds ${file.path} twice`);
    }
    if (!this.#options.ignoreSizeLimit) requireWithinLimit(source, volume, file.size);
    const pieces = this.#counted(qube, file.pieces());
    await this.#system.importVolume(newQube.name, volume, file.size, pieces, this.#signal);
    qube.volumesDone.add(volume);
    qube.size += file.size;
    this.#report.info(`${newQube.name}: ${volume} restored`);
  }

  /** When this system fails on dom0's home, the VMs go on. */
  async #restoreHome({ path, innerTar }: ArchivedFile): Promise<void> {
    this.#seen.note(path);
    try {
      await this.#home.restore(innerTar);
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!isOfThisSystem(error)) throw error;
      this.#home.fail(messageOf(error));
    }
  }

  async *#counted(qube: QubeRestore, pieces: AsyncIterable<DataPiece>): AsyncGenerator<DataPiece> {
    for await (const piece of pieces) {
      yield piece;
      qube.used += piece.bytes.length;
      this.#report.progress(piece.bytes.length);
    }
  }

  /** Everything that qubes.xml promises must have come: formats 2 to 4 have no manifest. */
  #checkComplete(): void {
    const dom0Home = this.#plan.dom0Home;
    const qubes = this.#going().map(({ planned }) => planned.source);
    refuseMissing({ qubes, dom0Home }, this.#seen);
  }

  #going(): QubeRestore[] {
    return [...this.#qubes.values()].filter(({ failure }) => failure === undefined);
  }

  /** A step of one VM's restore: when this system fails on it, the VM is given up, not the rest. */
  async #attempt(qube: QubeRestore, step: () => Promise<void>): Promise<void> {
    if (qube.failure !== undefined) return;
    try {
      await step();
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!isOfThisSystem(error)) throw error;
      await this.#giveUp(qube, messageOf(error));
    }
  }

  /** Removes a VM, and before it those that were created from it as their template. */
  async #giveUp(qube: QubeRestore, why: string): Promise<void> {
    qube.failure = why;
    const { name } = qube.planned.newQube;
    for (const other of this.#going()) {
      if (other.planned.newQube.template === name) {
        await this.#giveUp(other, `its template ${name} could not be restored`);
      }
    }
    await this.#created.rollBack(name);
    this.#report.warning(`${name} could not be restored: ${why}`);
  }

  /** A VM that cannot be given its settings any more stays, since its data is whole. */
  async #applyRound(round: Round): Promise<void> {
    for (const qube of this.#going()) {
      try {
        qube.refused.push(...(await applyRound(round, this.#system, qube)));
      } catch (error) {
        const { name } = qube.planned.newQube;
        const why = `its data is whole, but not its settings: ${messageOf(error)}`;
        qube.failure = `${why}; ${howToUnmark(name)}`;
        this.#report.warning(`${name} is there, ${qube.failure}`);
      }
    }
  }

  async #keep(qube: QubeRestore): Promise<void> {
    const { name } = qube.planned.newQube;
    try {
      await this.#created.keep(name);
    } catch (error) {
      qube.failure = `it is whole, but still marked: ${messageOf(error)}; ${howToUnmark(name)}`;
      this.#report.warning(`${name}: ${qube.failure}`);
    }
  }
}

/** An error of this system touches one VM; one of the archive or the channel touches them all. */
function isOfThisSystem(error: unknown): boolean {
  return (
    error instanceof CofferError &&
    (error.exitStatus === ExitStatus.failed || error.exitStatus === ExitStatus.refused)
  );
}
