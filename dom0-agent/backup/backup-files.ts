import { FailedError, firstOf } from '../../shared/errors.ts';
import type { Report } from '../../shared/report.ts';
import { formatSize } from '../../shared/sizes.ts';
import { dataWithin } from '../../shared/sparse-data.ts';
import type { Content } from '../archive/content.ts';
import { volumePath } from '../contents/archived-files.ts';
import { type Qube, type Volume, volumeLabel } from '../qubes/qube.ts';
import { type QubesSystem, SystemGoneError } from '../qubes/system.ts';
import { contentOfDom0 } from './dom0-content.ts';
import { type ArchiveLayout } from './backup-formats.ts';
import type { MeasuredPlan } from './plan-home.ts';
import { HeldVolumes } from './held-volumes.ts';
import { emptyFile, incompleteFile, qubesXmlFile, settingsOf } from './settings-files.ts';
import { domainOf, originOf } from './volume-identity.ts';
import { type HeldSource, holdVolumeSource, type KnownChanges } from './volume-source.ts';
import type { PlannedQube } from './plan-backup.ts';
import type { Dedup } from './series-state.ts';

/** What was backed up of a VM, or of dom0. */
export interface BackedUp {
  readonly name: string;
  /** Bytes of its volumes; undefined for dom0's home. */
  readonly size: number | undefined;
  /** Bytes of data that were read, without holes. */
  readonly used: number;
  /** It was running: its last saved state was backed up. */
  readonly running: boolean;
  /** Why it is incomplete in the backup. */
  readonly failure?: string;
}

/** The same, while it is being backed up. */
export type QubeRow = { -readonly [Key in keyof BackedUp]: BackedUp[Key] };

/** Where volumes are read from, and how. */
export interface Reading {
  readonly system: QubesSystem;
  /** Undefined: everything is read. */
  readonly changes: KnownChanges | undefined;
}

/**
 * The files of the archive, each made when the archive's writer asks for it. Volumes are as they were when this was
 * opened. Disposing of it releases those that were not read.
 */
export class BackupFiles implements AsyncDisposable {
  readonly #rows: readonly QubeRow[];
  readonly #ofDom0Rows: QubeRow[] = [];
  readonly #plan: MeasuredPlan;
  readonly #layout: ArchiveLayout;
  readonly #dedup: Dedup;
  readonly #system: QubesSystem;
  readonly #held: HeldVolumes;
  readonly #report: Report;
  readonly #signal: AbortSignal;

  private constructor(
    plan: MeasuredPlan,
    layout: ArchiveLayout,
    dedup: Dedup,
    { system, held, running }: Held,
    report: Report,
    signal: AbortSignal,
  ) {
    this.#plan = plan;
    this.#layout = layout;
    this.#dedup = dedup;
    this.#system = system;
    this.#held = held;
    this.#report = report;
    this.#signal = signal;
    this.#rows = plan.qubes.map((planned) => newRow(planned, running));
  }

  /**
   * Holds all volumes. If one cannot be held, its VM fails when it is to be read, if the format has a way to say that a
   * VM is incomplete; otherwise throws FailedError, naming the volume.
   */
  static async open(
    plan: MeasuredPlan,
    layout: ArchiveLayout,
    dedup: Dedup,
    { system, changes }: Reading,
    report: Report,
    signal: AbortSignal,
  ): Promise<BackupFiles> {
    const held = await HeldVolumes.of(
      plan.qubes,
      (qube, volume) => holdVolumeSource(system, qube, volume, changes, signal),
      (error) => failsAlone(error, layout),
      signal,
    );
    try {
      // Some VMs may have been started since the plan was made; what they do from now on is not in the backup.
      const listed = await system.list();
      const running = new Set(listed.filter((qube) => qube.isRunning).map(({ name }) => name));
      return new BackupFiles(plan, layout, dedup, { system, held, running }, report, signal);
    } catch (error) {
      await held[Symbol.asyncDispose]();
      throw error;
    }
  }

  get backedUp(): readonly BackedUp[] {
    return [...this.#rows, ...this.#ofDom0Rows];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#held[Symbol.asyncDispose]();
  }

  /**
   * The files in the order of the format. Throws FailedError when a VM fails and the format cannot say so, or when
   * everything has failed.
   *
   * @param created when the backup was begun
   */
  async *all(created: Date): AsyncGenerator<Content, void, undefined> {
    yield qubesXmlFile(this.#plan, this.#layout, created);
    if (this.#layout.settingsFirst) yield* this.#settingsThenVolumes();
    else yield* this.#qubeByQube();
    this.#requireAnyWhole();
    yield* this.#ofDom0();
    this.#report.phase('index');
  }

  /** The origins of the volumes of all VMs that failed. */
  broken(): ReadonlySet<string> {
    const failed = this.#planned().filter(({ row }) => row.failure !== undefined);
    return new Set(
      failed.flatMap(({ planned: { qube, volumes } }) =>
        volumes.map((volume) => originOf(qube, volume)),
      ),
    );
  }

  async *#settingsThenVolumes(): AsyncGenerator<Content, void, undefined> {
    for (const { planned, row } of this.#planned()) {
      const settings = await this.#attempt(row, () => settingsOf(this.#system, planned));
      yield* settings ?? [];
      if (settings?.length === 0 && planned.volumes.length === 0) yield emptyFile(planned);
    }
    const incomplete: Content[] = [];
    for (const { planned, row } of this.#planned()) {
      for (const volume of planned.volumes) yield* this.#volume(planned, volume, row);
      if (row.failure !== undefined) incomplete.push(incompleteFile(planned, row.failure));
      this.#report.finished(row.name, row.failure);
    }
    yield* incomplete;
  }

  async *#qubeByQube(): AsyncGenerator<Content, void, undefined> {
    for (const { planned, row } of this.#planned()) {
      for (const volume of planned.volumes) yield* this.#volume(planned, volume, row);
      const settings = await settingsOf(this.#system, planned);
      yield* settings;
      if (settings.length + planned.volumes.length === 0) yield emptyFile(planned);
      this.#report.finished(row.name, row.failure);
    }
  }

  #planned(): { planned: PlannedQube; row: QubeRow }[] {
    return this.#rows.flatMap((row, i) => {
      const planned = this.#plan.qubes[i];
      return planned === undefined ? [] : [{ planned, row }];
    });
  }

  /** A VM's volume; nothing if it cannot be opened. */
  async *#volume(
    { qube, directory }: PlannedQube,
    volume: Volume,
    row: QubeRow,
  ): AsyncGenerator<Content, void, undefined> {
    await using held = this.#take(volume, row);
    const opened = await this.#attempt(row, () => {
      this.#report.working(qube.name, volume.name);
      return held.open(this.#signal);
    });
    if (opened === undefined) return;
    await using image = opened;
    const isAsPlanned = await this.#attempt(row, () => requirePlannedSize(qube, volume, image));
    if (isAsPlanned === undefined) return;
    const { size, extents, changed } = image;
    // What cannot be read is filled with zeros: that does not show that the pool's report is wrong.
    const wrong = async (): Promise<void> => {
      if (row.failure === undefined) await image.check?.wrong();
    };
    const check = image.check && { ...image.check, wrong };
    // Whole chunks are read; counted, here as in the plan, is only the data in them.
    const dataIn = dataWithin(extents);
    const read = async (buffer: Buffer, offset: number): Promise<void> => {
      this.#signal.throwIfAborted();
      await this.#attempt(row, () => image.read(buffer, offset));
      // The file has to be completed; the archive says that its VM is incomplete.
      if (row.failure !== undefined) buffer.fill(0);
      const data = dataIn(offset, buffer.length);
      if (row.failure === undefined) row.used += data;
      this.#report.progress(row.name, data);
    };
    const path = volumePath(directory, volume.name);
    const origin = originOf(qube, volume);
    const domain = domainOf(qube, volume, this.#dedup);
    yield { kind: 'volume', path, domain, origin, size, extents, changed, check, read };
    await this.#attempt(row, () => image.requireUnchanged());
    if (row.failure === undefined) image.keep();
  }

  /** A held volume. If it cannot be released, the next backup tries that again: no reason for this one to fail. */
  #take(volume: Volume, { name }: QubeRow): HeldSource {
    const held = this.#held.take(volume);
    const release = async (): Promise<void> => {
      try {
        await held[Symbol.asyncDispose]();
      } catch (error) {
        if (!(error instanceof FailedError)) throw error;
        this.#report.warning(`${volumeLabel(name, volume.name)} is not released: ${error.message}`);
      }
    };
    return { open: (signal) => held.open(signal), [Symbol.asyncDispose]: release };
  }

  /**
   * Runs a step for a VM, unless the VM has failed already. If the step fails, so has the VM, and the others go on,
   * provided that the format can say so.
   */
  async #attempt<T>(row: QubeRow, step: () => Promise<T>): Promise<T | undefined> {
    if (row.failure !== undefined) return undefined;
    try {
      return await step();
    } catch (thrown) {
      const error = firstOf(thrown);
      this.#signal.throwIfAborted();
      if (!failsAlone(error, this.#layout)) throw error;
      row.failure = error.message;
      return undefined;
    }
  }

  /** Warns about the VMs that failed. Throws FailedError when nothing in the backup is complete. */
  #requireAnyWhole(): void {
    const failed = this.backedUp.filter(({ failure }) => failure !== undefined);
    const isWorthStoring =
      failed.length < this.backedUp.length ||
      this.#plan.dom0Home !== undefined ||
      this.#plan.dom0Paths !== undefined;
    if (failed.length > 0 && !isWorthStoring) {
      throw new FailedError(failed.map(({ failure }) => failure).join('; '));
    }
    for (const { name, failure = '' } of failed) {
      this.#report.warning(`${name} is incomplete in the backup: ${failure}`);
    }
  }

  /** dom0's home and configuration, which share a row of the table. */
  *#ofDom0(): Generator<Content, void, undefined> {
    const { dom0Home, dom0Paths } = this.#plan;
    if (dom0Home === undefined && dom0Paths === undefined) return;
    const row: QubeRow = { name: 'dom0', size: undefined, used: 0, running: false };
    this.#ofDom0Rows.push(row);
    yield* contentOfDom0(this.#plan, this.#layout, row, this.#report, this.#signal);
    this.#report.finished('dom0', row.failure);
  }
}

/** What `BackupFiles.open` prepares. */
interface Held {
  readonly system: QubesSystem;
  readonly held: HeldVolumes;
  /** The names of the VMs that were running when all volumes were held. */
  readonly running: ReadonlySet<string>;
}

/**
 * Rejects with FailedError for a volume that was made larger after the plan: qubes.xml states the size of that time, and a
 * restore refuses a volume that is larger than stated.
 */
function requirePlannedSize(
  qube: Qube,
  volume: Volume,
  { size }: { readonly size: number },
): Promise<true> {
  if (size <= volume.size) return Promise.resolve(true);
  const sizes = `${formatSize(size)} instead of the ${formatSize(volume.size)}`;
  return Promise.reject(
    new FailedError(
      `${volumeLabel(qube.name, volume.name)} has ${sizes} that it had when the backup was planned: try again`,
    ),
  );
}

function newRow({ qube, volumes, running }: PlannedQube, nowRunning: Held['running']): QubeRow {
  const size = volumes.reduce((sum, volume) => sum + volume.size, 0);
  return { name: qube.name, size, used: 0, running: running || nowRunning.has(qube.name) };
}

/** Whether an error makes only its VM fail, not the backup: if the format has a way to say that a VM is incomplete. */
function failsAlone(error: unknown, { tellsIncomplete }: ArchiveLayout): error is FailedError {
  return tellsIncomplete && error instanceof FailedError && !(error instanceof SystemGoneError);
}
