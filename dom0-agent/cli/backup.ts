import { ExitStatus } from '../../shared/errors.ts';
import { SeriesKeys } from '../archive/coffer1/series-keys.ts';
import { formatSize } from '../../shared/sizes.ts';
import { changesIn, describeChanges, goesIntoSeries } from './backup-series.ts';
import type { BackupRequest } from './backup-request.ts';
import { type PlannedRequest, planRequest } from './plan-request.ts';
import { backedUpForPrograms } from './backup-events.ts';
import { describeKit, formatBackedUp } from './backup-tables.ts';
import { CommandReport } from './command-report.ts';
import { adoptUnknown } from './adopt-unknown.ts';
import { countOf } from './count-of.ts';
import { aboutField } from './error-field.ts';
import { openSystem } from './open-system.ts';
import { obtainAhead } from './passphrase-of-profile.ts';
import { writeProfile } from './profile-files.ts';
import { askNewPassphrase, askPassphrase } from './questions.ts';
import {
  type BackupContext,
  type Proposal,
  propose,
  agree,
  settle,
  lookAgain,
  storeOf,
} from './propose-backup.ts';
import { type Made, makeBackup } from './make-backup.ts';

/** `coffer backup`. Returns the exit status. */
export async function backupCommand(request: BackupRequest, signal: AbortSignal): Promise<number> {
  const { flags } = request;
  using report = new CommandReport(flags);
  const opened = await openSystem(flags.system, (text) => report.info(text));
  const context = { request, opened, report, signal };
  const selection = await aboutField('vms', () => planRequest(request, opened.system, report));
  const proposal = await propose(selection, context);
  await agree(proposal, context);
  if (request.newProfile !== undefined) {
    await writeProfile(request.newProfile);
    report.info(`The profile is in ${request.newProfile.file}.`);
  }
  const settled = await settle(proposal, context);
  const passphrase = await passphraseFor(settled, context);
  const keys = new SeriesKeys();
  // Meanwhile, the directory is looked at again.
  if (settled.known !== undefined) keys.begin(settled.known.head, Buffer.from(passphrase));
  try {
    const made = await alone(settled, context, async () => {
      await adoptUnknown(settled, passphrase, context);
      const again = await lookAgain(settled, context);
      return await makeBackup(selection, again, passphrase, keys, context);
    });
    return reportResult(made, selection, settled, context);
  } finally {
    passphrase.fill(0);
  }
}

/** Asks for the passphrase: once for a series that is continued, twice for a new one. */
async function passphraseFor(
  { known }: Proposal,
  { request, opened, report, signal }: BackupContext,
): Promise<Buffer> {
  const { flags } = request;
  await obtainAhead(request, opened, report, signal);
  if (known !== undefined) return await askPassphrase(flags.passphraseFile, signal);
  const warn = (text: string): void => report.warning(text);
  return await askNewPassphrase(flags.passphraseFile, flags.format, warn, signal);
}

/** Runs `action` while no other backup continues the same series. */
async function alone<T>(
  { destination }: Proposal,
  context: BackupContext,
  action: () => Promise<T>,
): Promise<T> {
  if (!goesIntoSeries(context.request.flags)) return await action();
  const { report, signal } = context;
  return await storeOf(context).whileLocked(destination.location, action, {
    onWait: () => report.info(`waiting for another backup to ${destination.location}`),
    signal,
  });
}

/** Shows the result, and returns the exit status. */
function reportResult(
  { backedUp, written, goesOn, stored, data, kit, check, card, created, seconds }: Made,
  { missing }: PlannedRequest,
  { plan, storage }: Proposal,
  { request: { flags }, report }: BackupContext,
): number {
  const failed = backedUp.filter(({ failure }) => failure !== undefined).map(({ name }) => name);
  const isWhole = failed.length === 0 && missing.length === 0;
  const exitStatus = !isWhole
    ? ExitStatus.failed
    : 'error' in check
      ? ExitStatus.storage
      : ExitStatus.done;
  const changes = written !== undefined && goesOn ? changesIn(written, plan) : undefined;
  report.say(formatBackedUp(plan, backedUp));
  const checked = check.result === 'verified' ? 'stored and checked' : 'stored';
  const bytes = data.reduce((sum, { file }) => sum + file.bytes, stored.bytes);
  const files = data.length === 0 ? '' : ` and ${countOf(data.length, 'file')} of its data`;
  const place = `${formatSize(bytes)} in ${stored.location}${files}`;
  const time = `${seconds.toFixed(1)} s`;
  if (changes === undefined) report.say(`${capitalised(checked)} ${place}, ${time}.`);
  else report.say(`Stored ${place}.\n${describeChanges(changes)}; ${checked} in ${time}.`);
  if (card !== undefined) report.say(`Keep this with the passphrase: ${card}`);
  if (failed.length > 0) {
    report.say(`Not everything was backed up: ${failed.join(', ')} failed; the table says why.`);
  }
  if (kit.length > 0) report.say(describeKit(kit));
  report.result({
    ok: exitStatus === ExitStatus.done,
    exitStatus,
    command: 'backup',
    vm: storage.owner,
    location: stored.location,
    path: stored.path ?? null,
    bytes: stored.bytes,
    sha256: stored.sha256,
    dataFiles: data.map(({ stored: { location, bytes, sha256 } }) => ({ location, bytes, sha256 })),
    checked: check.result === 'verified',
    card,
    changedVms: changes?.changedVms ?? null,
    newBytes: changes?.newBytes ?? null,
    knownBytes: changes?.knownBytes ?? null,
    created: created.toISOString(),
    format: flags.format,
    encrypted: flags.encrypt,
    qubes: backedUpForPrograms(backedUp),
    leftOut: plan.leftOut,
    recovery: kit.map(({ location, sha256 }) => ({ location, sha256 })),
    warnings: report.warnings,
    seconds,
  });
  return exitStatus;
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
