import { ExitStatus, RefusedError } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import {
  type CopiedFile,
  type CopyPlan,
  type CopyTarget,
  digestOf,
  planCopy,
  sendFile,
} from '../backup/copy-backups.ts';
import type { Listing, StoredFiles } from '../transport/storage.ts';
import { CommandReport } from './command-report.ts';
import type { CopyFlags } from './copy-options.ts';
import { countOf } from './count-of.ts';
import { aboutField } from './error-field.ts';
import { type OpenedSystem, type StoragePlace, openSystem } from './open-system.ts';
import { confirm, requireTerminal } from './questions.ts';
import { formatTable } from './table.ts';

/** A directory and what is in it. */
interface Listed extends CopyTarget {
  readonly listing: Listing;
  /** For people. */
  readonly location: string;
}

interface Copy {
  readonly from: Listed;
  readonly to: Listed;
  readonly plan: CopyPlan;
  readonly flags: CopyFlags;
  readonly report: CommandReport;
  readonly signal: AbortSignal;
}

/** `coffer copy`. Returns the exit status. */
export async function copyCommand(
  location: string,
  target: string,
  flags: CopyFlags,
  signal: AbortSignal,
): Promise<number> {
  if (flags.yes !== true) requireTerminal();
  using report = new CommandReport(flags);
  const opened = await openSystem(flags.system, (text) => report.info(text));
  const from = await aboutField('location', () => list(opened, flags, location, signal));
  const to = await aboutField('target', () =>
    list(opened, { destVm: flags.to, through: flags.toThrough }, target, signal),
  );
  if (from.location === to.location && flags.through === flags.toThrough) {
    throw new RefusedError(`${to.location} is the same directory`);
  }
  await using here = await from.storage.openFiles(location, signal);
  const plan = await planCopy(here, from.listing, to.listing, signal);
  const copy = { from, to, plan, flags, report, signal };
  await agree(copy);
  const begun = Date.now();
  const differing = await carryOut(copy, here);
  return reportResult(copy, differing, (Date.now() - begun) / 1000);
}

async function list(
  opened: OpenedSystem,
  place: StoragePlace,
  directory: string,
  signal: AbortSignal,
): Promise<Listed> {
  const storage = await opened.storage(place);
  const listing = await storage.browse(directory, signal);
  const location = `${storage.owner}:${listing.path}`;
  if (listing.truncated)
    throw new RefusedError(`${location} contains too many files to list them all`);
  return { storage, directory, listing, location };
}

/** Shows what will be copied, and asks. Throws RefusedError when it does not fit, or the user does not agree. */
async function agree({ from, to, plan, flags, report, signal }: Copy): Promise<void> {
  const { toSend, there, differing, others } = plan;
  const show = (text: string): void => (flags.yes === true ? report.say(text) : report.ask(text));
  const rows = [
    ...toSend.map(({ fileName, size }) => [fileName, formatSize(size), 'to be copied']),
    ...there.map(({ fileName, size }) => [fileName, formatSize(size), 'there already']),
    ...differing.map(({ fileName, size }) => [
      ...[fileName, formatSize(size)],
      'there with another size: not overwritten',
    ]),
  ];
  if (rows.length === 0) throw new RefusedError(`there are no backups in ${from.location}`);
  show(formatTable(['file', 'size', ''], rows));
  if (others.length > 0)
    show(
      `Not copied, because they are not complete backups, or their names are not plain: ${others.join(', ')}.`,
    );
  const bytes = sizeOf(toSend);
  const { freeBytes } = to.listing.space;
  const free = freeBytes === undefined ? '' : ` (${formatSize(freeBytes)} free there)`;
  show(`${formatSize(bytes)} from ${from.location} to ${to.location}${free}.`);
  report.plan({
    ...{ command: 'copy', location: from.location, target: to.location, bytes, freeBytes },
    files: toSend.map(asText),
    there: there.map(asText),
    differing: differing.map(asText),
    ...{ others, problems: [] },
  });
  if (freeBytes !== undefined && bytes > freeBytes) {
    throw new RefusedError(
      `there is not enough space in ${to.location}: ${formatSize(bytes)} are to be copied, but only ` +
        `${formatSize(freeBytes)} are free`,
    );
  }
  if (flags.yes !== true && toSend.length > 0) await confirm('Copy?', signal);
}

/** Copies and checks. Returns the names of files that turned out to be different in the two places. */
async function carryOut(copy: Copy, here: StoredFiles): Promise<string[]> {
  const { to, plan, flags, report, signal } = copy;
  const name = to.location;
  const bytes = sizeOf(plan.toSend);
  const compared = flags.compare === true ? 2 * sizeOf(plan.there) : 0;
  const total = (flags.check ? 2 * bytes : bytes) + compared;
  report.startProgress('send', [{ name, total }]);
  const count = (length: number): void => report.progress(name, length);
  const differing: string[] = [];
  await using read = new ReadThere(to, count, signal);
  for (const file of plan.toSend) {
    report.phase('send');
    report.working(name, file.fileName);
    const sent = await sendFile(here, to, file, count, signal);
    if (!flags.check) continue;
    report.phase('check');
    if ((await read.digestOf(file)) !== sent) differing.push(file.fileName);
  }
  if (flags.compare === true) {
    report.phase('check');
    for (const file of plan.there) {
      report.working(name, file.fileName);
      const digest = await digestOf(here, file, count);
      if ((await read.digestOf(file)) !== digest) differing.push(file.fileName);
    }
  }
  report.finished(name, differing.length === 0 ? undefined : 'not all of it is as it should be');
  report.endProgress();
  return differing;
}

/** Reads files of the target. It is opened for the first of them: if none is read, it need not be readable. */
class ReadThere implements AsyncDisposable {
  readonly #target: CopyTarget;
  readonly #count: (bytes: number) => void;
  readonly #signal: AbortSignal;
  #files: StoredFiles | undefined;

  constructor(target: CopyTarget, count: (bytes: number) => void, signal: AbortSignal) {
    this.#target = target;
    this.#count = count;
    this.#signal = signal;
  }

  async digestOf(file: CopiedFile): Promise<string> {
    const { storage, directory } = this.#target;
    this.#files ??= await storage.openFiles(directory, this.#signal);
    return await digestOf(this.#files, file, this.#count);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#files?.[Symbol.asyncDispose]();
  }
}

function reportResult(
  { from, to, plan, flags, report }: Copy,
  damaged: readonly string[],
  seconds: number,
): number {
  const differing = [...plan.differing.map(asText), ...damaged];
  const isFine = differing.length === 0;
  const checked = flags.check && plan.toSend.length > 0 ? ', read back and compared' : '';
  report.say(
    `Copied ${countOf(plan.toSend.length, 'file')} of ${formatSize(sizeOf(plan.toSend))} to ${to.location}${checked}, ` +
      `${seconds.toFixed(1)} s.`,
  );
  if (plan.there.length > 0) {
    const what =
      flags.compare === true ? 'read and compared' : 'not read, use --compare to compare them';
    report.say(`There already: ${countOf(plan.there.length, 'file')}, ${what}.`);
  }
  for (const fileName of damaged) {
    report.warning(`${fileName} in ${to.location} differs from the file in ${from.location}`);
  }
  if (!isFine) {
    report.say(
      `Not the same in both places: ${differing.join(', ')}: move them away there, and copy again.`,
    );
  }
  report.result({
    ...{ ok: isFine, exitStatus: isFine ? ExitStatus.done : ExitStatus.storage },
    ...{ command: 'copy', location: from.location, target: to.location },
    files: plan.toSend.map(asText),
    there: plan.there.map(asText),
    differing,
    ...{ checked: flags.check, warnings: report.warnings, seconds },
  });
  return isFine ? ExitStatus.done : ExitStatus.storage;
}

function sizeOf(files: readonly CopiedFile[]): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}

function asText({ fileName }: CopiedFile): string {
  return fileName;
}
