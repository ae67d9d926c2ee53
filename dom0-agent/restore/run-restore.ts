import { DamagedError, FailedError, messageOf } from '../../shared/errors.ts';
import { MiB } from '../../shared/sizes.ts';
import type { Report } from '../../shared/report.ts';
import type { ArchiveReader, ArchivedFile } from '../archive/archive.ts';
import { savedVolumes } from '../qubes/qube.ts';
import type { QubesAndHome } from '../qubes/backup-contents.ts';
import type { QubesSystem } from '../qubes/system.ts';
import type { DataPiece } from '../../shared/sparse-data.ts';
import { parseArchivedPath } from '../contents/archived-files.ts';
import {
  type BackedUpFile,
  backedUpFiles,
  textOf,
  treeOf,
  whyIncomplete,
} from '../contents/backed-up-files.ts';
import { FilesSeen, refuseMissing } from '../contents/archived-files.ts';
import { damageTo } from '../contents/damage.ts';
import type { Outcome } from '../contents/outcome.ts';
import type { RestorePlan } from './plan-restore.ts';
import { RestoredTree } from './restored-home.ts';
import { DOM0_TREES } from './unpack-home.ts';
import { type QubeRestore, RestoredQubes, isOfThisSystem } from './restored-qubes.ts';
import { TooLargeError, requireWithinLimit } from '../contents/size-limits.ts';

/** The largest firewall.xml or notes.txt: Qubes limits notes to 256 KiB. */
const LARGEST_SMALL_FILE = 1 * MiB;

export interface RestoreOptions {
  /** Keep a VM that failed, marked, rather than remove it. */
  readonly keepFailed?: boolean;
  /** Accept volumes that are larger than the backup's settings say. */
  readonly ignoreSizeLimit?: boolean;
}

/**
 * Carries out the plan of a restore: creates the VMs, imports each volume from authenticated data only, and
 * when the archive is known to be complete, applies the VMs' settings, and finally allows them to be
 * started. A VM that fails on this system is removed, and its outcome says why; the others go on. If the
 * archive itself fails, everything that was created is removed and the error is thrown.
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
  readonly #qubes: RestoredQubes;
  readonly #seen: FilesSeen;
  /** dom0's home and configuration, by their paths in the archive. */
  readonly #trees: ReadonlyMap<string, RestoredTree>;

  constructor(
    plan: RestorePlan,
    system: QubesSystem,
    options: RestoreOptions,
    report: Report,
    signal: AbortSignal,
  ) {
    this.#plan = plan;
    this.#seen = new FilesSeen(inBackup(plan));
    this.#system = system;
    this.#options = options;
    this.#report = report;
    this.#signal = signal;
    const { dom0Home, dom0Paths } = plan;
    const trees = [
      [dom0Home?.directory, DOM0_TREES.home],
      [dom0Paths?.directory, DOM0_TREES.paths],
    ] as const;
    this.#trees = new Map(
      trees.flatMap(([path, tree]) =>
        path === undefined ? [] : [[path, new RestoredTree(tree, system, report, signal)]],
      ),
    );
    this.#qubes = new RestoredQubes(
      plan.qubes,
      system,
      options.keepFailed ?? false,
      report,
      signal,
    );
  }

  async run(reader: ArchiveReader): Promise<Outcome[]> {
    try {
      await this.#qubes.createAll();
      for await (const file of reader.files((path) => this.#isWanted(path))) {
        this.#signal.throwIfAborted();
        await this.#restoreFile(file).catch((error: unknown) => {
          throw this.#inWords(error, file.path);
        });
      }
      this.#checkComplete();
    } catch (error) {
      await this.#qubes.rollBack();
      for (const tree of this.#trees.values()) await tree.rollBack();
      throw error;
    }
    // From here on the signal is ignored: the rest only takes a moment, and VMs that refer to each other cannot be
    // rolled back.
    this.#report.phase('settle');
    await this.#qubes.finish();
    for (const tree of this.#trees.values()) await tree.keep();
    const ofDom0 = [...this.#trees.values()].flatMap(({ outcome }) => outcome ?? []);
    return [...this.#qubes.outcomes, ...asOne(ofDom0)];
  }

  /** Damage to a file of the archive, in the user's terms. */
  #inWords(error: unknown, path: string): unknown {
    if (!(error instanceof DamagedError) || error instanceof TooLargeError) return error;
    const damage = damageTo(path, error, inBackup(this.#plan));
    if (damage === undefined) return error;
    const left = this.#options.keepFailed === true ? 'no VM was completed' : 'nothing was restored';
    return new DamagedError(
      `${damage.name}: ${damage.what}: ${left}. \`coffer verify\` says which VMs are complete, ` +
        `and those can be restored by name; docs/recovery.md explains how to extract by hand what comes before ` +
        `the damage.`,
      { cause: error },
    );
  }

  #isWanted(path: string): boolean {
    return this.#trees.has(path) || this.#qubeOf(path) !== undefined;
  }

  /** The VM that a file of the archive belongs to, unless it has failed. */
  #qubeOf(path: string): QubeRestore | undefined {
    return this.#qubes.inDirectory(parseArchivedPath(path).directory);
  }

  async #restoreFile(file: ArchivedFile): Promise<void> {
    const tree = this.#trees.get(file.path);
    if (tree !== undefined) return this.#restoreTree(file, tree);
    const qube = this.#qubeOf(file.path);
    if (qube === undefined) return;
    this.#seen.note(file.path);
    if (parseArchivedPath(file.path).kind === 'other') return;
    for await (const backedUp of backedUpFiles(file)) {
      this.#seen.note(backedUp.path);
      await this.#qubes.attempt(qube, () => this.#take(qube, backedUp));
      if (qube.failure !== undefined) return;
    }
  }

  async #take(qube: QubeRestore, file: BackedUpFile): Promise<void> {
    switch (file.place.kind) {
      case 'volume':
        return this.#importVolume(qube, file.place.volume, file);
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
    // A whole directory also contains volumes that are recreated at each start.
    if (!savedVolumes(source.qube).some(({ name }) => name === volume)) return;
    if (qube.volumesDone.has(volume)) {
      throw new DamagedError(`the backup contains ${file.path} twice`);
    }
    if (this.#options.ignoreSizeLimit !== true) requireWithinLimit(source, volume, file.size);
    await this.#qubes.requireOwn(qube);
    this.#report.working(newQube.name, volume);
    const pieces = this.#counted(qube, file.pieces());
    await this.#system.importVolume(newQube.name, volume, file.size, pieces, this.#signal);
    qube.volumesDone.add(volume);
    qube.size += file.size;
  }

  /** If dom0's home or configuration fails on this system, the VMs go on. */
  async #restoreTree(file: ArchivedFile, tree: RestoredTree): Promise<void> {
    this.#seen.note(file.path);
    try {
      await tree.restore(treeOf(file));
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!isOfThisSystem(error)) throw error;
      tree.fail(messageOf(error));
    }
  }

  async *#counted(qube: QubeRestore, pieces: AsyncIterable<DataPiece>): AsyncGenerator<DataPiece> {
    for await (const piece of pieces) {
      yield piece;
      qube.used += piece.bytes.length;
      this.#report.progress(qube.planned.newQube.name, piece.bytes.length);
    }
  }

  /** Everything that qubes.xml lists must have been seen: formats 2 to 4 have no manifest. */
  #checkComplete(): void {
    const qubes = this.#qubes.remaining().map(({ planned }) => planned.source);
    refuseMissing({ ...inBackup(this.#plan), qubes }, this.#seen);
  }
}

/** What the plan takes from the backup. */
function inBackup({ qubes, dom0Home, dom0Paths }: RestorePlan): QubesAndHome {
  return { qubes: qubes.map(({ source }) => source), dom0Home, dom0Paths };
}

/** The outcomes of dom0's home and configuration as one row, with the worse of both results. */
function asOne(ofDom0: readonly Outcome[]): Outcome[] {
  const worst = (['failed', 'restored in part', 'restored'] as const).find((result) =>
    ofDom0.some((each) => each.result === result),
  );
  if (worst === undefined) return [];
  const used = ofDom0.reduce((sum, each) => sum + each.used, 0);
  const remarks = ofDom0.flatMap((each) => each.remarks);
  return [{ name: 'dom0', result: worst, size: undefined, used, remarks }];
}
