import { ExitStatus } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import { scryptCost } from '../archive/coffer1/scrypt-cost.ts';
import { type CompressionFilter, requireCompressor } from '../archive/compress/compression.ts';
import { type Estimate, estimateOf, whyItMayNotFit } from '../backup/backup-space.ts';
import { FORMAT_DEFAULTS } from '../backup/backup-formats.ts';
import { readBackupSources } from '../backup/backup-sources.ts';
import { type MeasuredPlan, measurePlan } from '../backup/plan-home.ts';
import { type NewBackupFile, openNewBackupFile } from '../backup/new-backup-file.ts';
import { type BackupPlan, planBackup } from '../backup/plan-backup.ts';
import { type BackupSources } from '../backup/backup-sources.ts';
import { storeRecoveryKit } from '../backup/recovery-kit.ts';
import { type BackedUp, noteBackupTime, writeBackup } from '../backup/run-backup.ts';
import { refuseTargetInHome } from '../backup/plan-home.ts';
import type { QubesSystem } from '../qubes/system.ts';
import type { Storage, StoredArchive } from '../transport/storage.ts';
import type { BackupFlags } from './backup-options.ts';
import type { BackupRequest } from './backup-request.ts';
import { describeKit, formatBackedUp, formatPlan } from './backup-tables.ts';
import { CommandReport } from './command-report.ts';
import {
  type Destination,
  describeDestination,
  orForgottenDirectory,
  seeDestination,
} from './destination.ts';
import { type OpenedSystem, openSystem } from './open-system.ts';
import { askNewPassphrase, confirm } from './questions.ts';
import { rollBackIfKilled } from './roll-back.ts';

/** The VMs that are asked for, as the system has them. */
interface Selection {
  readonly inventory: BackupSources;
  /** By name; empty: those that are backed up by default. */
  readonly chosen: readonly string[];
  /** Named by the profile, and not there. */
  readonly missing: readonly string[];
  readonly plan: BackupPlan;
}

/** What the user is asked to agree to. */
interface Proposal {
  readonly plan: MeasuredPlan;
  readonly estimate: Estimate;
  readonly storage: Storage;
  readonly destination: Destination;
}

/** What has been made. */
interface Made {
  readonly backedUp: readonly BackedUp[];
  readonly stored: StoredArchive;
  readonly kit: readonly StoredArchive[];
  readonly created: Date;
  readonly seconds: number;
}

/** `coffer backup`. Gives the exit status. */
export async function backupCommand(request: BackupRequest, signal: AbortSignal): Promise<number> {
  const { flags } = request;
  using report = new CommandReport(flags);
  const opened = await openSystem(flags.system, (text) => report.info(text));
  const selection = await selectQubes(request, opened.system, report);
  const proposal = await prepare(request, selection, opened, signal);
  await agree(proposal, flags, report, signal);
  const passphrase = await askNewPassphrase(
    flags.passphraseFile,
    flags.format,
    (text) => report.warning(text),
    signal,
  );
  try {
    const made = await makeBackup(request, selection, proposal, opened, passphrase, report, signal);
    return tellResult(made, selection, proposal, flags, report);
  } finally {
    passphrase.fill(0);
  }
}

async function selectQubes(
  { qubes, flags, excludedByProfile }: BackupRequest,
  system: QubesSystem,
  report: CommandReport,
): Promise<Selection> {
  const inventory = await readBackupSources(system);
  const missing = flags.profile === undefined ? [] : missingOf(qubes, inventory);
  for (const name of missing) {
    report.warning(`there is no VM called ${name}, which the profile names: it is not backed up`);
  }
  const chosen = qubes.filter((name) => !missing.includes(name));
  const excluded = flags.exclude ?? [];
  const plan = planBackup(inventory, {
    chosen,
    excluded: excludedByProfile ? [] : excluded,
    excludedIfThere: excludedByProfile ? excluded : [],
    running: flags.running ?? 'include',
  });
  for (const name of plan.gone) {
    report.warning(`there is no VM called ${name} any more, which the profile leaves out`);
  }
  return { inventory, chosen, missing, plan };
}

/**
 * The VMs that a profile names and the system does not have, which must not keep the others from their
 * backup. None when it has none of them: then there is nothing to back up, and the first name is refused.
 */
function missingOf(named: readonly string[], { listed }: BackupSources): string[] {
  const known = new Set(['dom0', ...listed.map(({ name }) => name)]);
  const missing = named.filter((name) => !known.has(name));
  return missing.length === named.length ? [] : missing;
}

/** Finds out all that can be known before anything is done, and refuses what cannot be done. */
async function prepare(
  { location, flags }: BackupRequest,
  { inventory, chosen, plan }: Selection,
  opened: OpenedSystem,
  signal: AbortSignal,
): Promise<Proposal> {
  const compressor = compressorOf(flags);
  if (compressor !== undefined) await requireCompressor(compressor);
  const storage = await opened.storage(flags.destVm);
  if (plan.dom0Home !== undefined && storage.owner === 'dom0' && flags.command !== true) {
    await refuseTargetInHome(plan.dom0Home.path, location);
  }
  const measured = await measurePlan(plan);
  const estimate = estimateOf(measured, compressor !== undefined);
  const destination = await orForgottenDirectory(
    seeDestination(opened, storage, location, flags, signal),
    { location, inventory, chosen },
  );
  return { plan: measured, estimate, storage, destination };
}

/** Shows the plan, and asks. Throws RefusedError when the backup cannot fit, or the user does not agree. */
async function agree(
  { plan, estimate, destination }: Proposal,
  { yes }: BackupFlags,
  report: CommandReport,
  signal: AbortSignal,
): Promise<void> {
  const show = (text: string): void => (yes === true ? report.say(text) : report.ask(text));
  show(formatPlan(plan));
  show(`${formatSize(estimate.most)} in all, to ${describeDestination(destination)}.`);
  const doubt = whyItMayNotFit(estimate, destination);
  if (doubt !== undefined) report.warning(doubt);
  if (yes !== true) await confirm('Back up?', signal);
}

async function makeBackup(
  request: BackupRequest,
  selection: Selection,
  proposal: Proposal,
  { system }: OpenedSystem,
  passphrase: Buffer,
  report: CommandReport,
  signal: AbortSignal,
): Promise<Made> {
  const { location, flags } = request;
  const { plan, estimate, storage } = proposal;
  const created = new Date();
  const { sink: opened, fileName } = await openTarget(
    request,
    selection,
    proposal,
    created,
    signal,
  );
  await using sink = opened;
  if (proposal.destination.space.freeBytes === undefined) {
    const doubt = whyItMayNotFit(estimate, sink);
    if (doubt !== undefined) report.warning(doubt);
    if (doubt !== undefined && flags.yes !== true) await confirm('Back up all the same?', signal);
  }

  const begun = Date.now();
  report.startProgress(estimate.most);
  const options = {
    passphrase,
    format: flags.format,
    encrypted: flags.encrypt,
    compressionFilter: compressorOf(flags),
    kdf: scryptCost(flags.kdfCost ?? FORMAT_DEFAULTS[flags.format].kdfCost),
    created,
  };
  const cleanup = await rollBackIfKilled(flags.system);
  const backedUp = await writeBackup(plan, system, sink, options, report, signal).finally(() => {
    cleanup.cancel();
    passphrase.fill(0);
  });
  const stored = await sink.finish();
  report.endProgress();
  await noteBackupTime(plan, backedUp, system, created, report);
  const kit =
    flags.withRecovery === true ? await storeRecoveryKit(storage, location, fileName, signal) : [];
  return { backedUp, stored, kit, created, seconds: (Date.now() - begun) / 1000 };
}

async function openTarget(
  { location, flags }: BackupRequest,
  { inventory, chosen }: Selection,
  { storage, estimate }: Proposal,
  created: Date,
  signal: AbortSignal,
): Promise<NewBackupFile> {
  if (flags.command === true) {
    const sink = await storage.openSink({ command: location }, undefined, signal);
    return { sink, fileName: '' };
  }
  return orForgottenDirectory(
    openNewBackupFile(storage, location, created, estimate.least, signal),
    {
      location,
      inventory,
      chosen,
    },
  );
}

/** Undefined: the backup is not compressed. */
function compressorOf({ compressFilter, format }: BackupFlags): CompressionFilter | undefined {
  const filter = compressFilter ?? FORMAT_DEFAULTS[format].compressFilter;
  return filter === 'none' ? undefined : filter;
}

/** Gives the exit status. */
function tellResult(
  { backedUp, stored, kit, created, seconds }: Made,
  { missing }: Selection,
  { plan, storage }: Proposal,
  flags: BackupFlags,
  report: CommandReport,
): number {
  const failed = backedUp.filter(({ failure }) => failure !== undefined).map(({ name }) => name);
  const done = failed.length === 0 && missing.length === 0;
  report.say(formatBackedUp(plan, backedUp));
  report.say(`Stored ${formatSize(stored.bytes)} in ${stored.location}, ${seconds.toFixed(1)} s.`);
  if (failed.length > 0) {
    report.say(`Not everything was backed up: ${failed.join(', ')} failed, the table says why.`);
  }
  if (kit.length > 0) report.say(describeKit(kit));
  report.result({
    ok: done,
    command: 'backup',
    vm: storage.owner,
    location: stored.location,
    path: stored.path ?? null,
    bytes: stored.bytes,
    sha256: stored.sha256,
    created: created.toISOString(),
    format: flags.format,
    encrypted: flags.encrypt,
    qubes: backedUp,
    leftOut: plan.leftOut,
    recovery: kit,
    warnings: report.warnings,
    seconds,
  });
  return done ? ExitStatus.done : ExitStatus.failed;
}
