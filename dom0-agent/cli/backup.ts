import { ExitStatus, NotFoundError, RefusedError, UsageError } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import { scryptCost } from '../archive/coffer1/scrypt-cost.ts';
import { type CompressionFilter, requireCompressor } from '../archive/compress/compression.ts';
import { readInventory } from '../backup/inventory.ts';
import { type BackupFormat, FORMAT_DEFAULTS } from '../backup/formats.ts';
import { measurePlan } from '../backup/measure-plan.ts';
import { type Inventory, type RunningChoice, planBackup } from '../backup/plan-backup.ts';
import { storeRecoveryKit } from '../backup/recovery-kit.ts';
import { noteBackupTime, writeBackup } from '../backup/run-backup.ts';
import { estimateOf, whyItMayNotFit } from '../backup/backup-space.ts';
import { refuseIntoItself } from '../backup/target-in-home.ts';
import { openNewFile } from '../backup/new-file.ts';
import type { StoredArchive } from '../transport/storage.ts';
import { formatBackedUp, formatPlan } from './backup-tables.ts';
import { askNewPassphrase, confirm } from './questions.ts';
import { describeDestination, seeDestination } from './destination.ts';
import type { ArchiveFlags } from './archive-options.ts';
import { openSystem } from './open-system.ts';
import { rollBackIfKilled } from './roll-back.ts';
import { CommandReport } from './command-report.ts';

export interface BackupFlags extends ArchiveFlags {
  readonly exclude?: readonly string[];
  /** From a profile: a VM that is gone is no mistake of the one who calls. */
  readonly excludeIfThere?: readonly string[];
  /** By default, `include`. */
  readonly running?: RunningChoice;
  readonly format: BackupFormat;
  readonly encrypt: boolean;
  /** By default, as `FORMAT_DEFAULTS` has it; so is the cost. */
  readonly compressFilter?: CompressionFilter | 'none';
  readonly kdfCost?: number;
  readonly withRecovery?: true;
  readonly profile?: string;
  readonly yes?: true;
}

/** `coffer backup`. Gives the exit status. */
export async function backupCommand(
  location: string,
  named: readonly string[],
  flags: BackupFlags,
  signal: AbortSignal,
): Promise<number> {
  refuseContradictions(flags);
  using report = new CommandReport(flags);
  const atHand = await openSystem(flags.system, (text) => report.info(text));
  const { system } = atHand;
  const inventory = await readInventory(system);
  const missing = flags.profile === undefined ? [] : missingOf(named, inventory);
  const chosen = named.filter((name) => !missing.includes(name));
  for (const name of missing) {
    report.warning(`there is no VM called ${name}, which the profile names: it is not backed up`);
  }
  const chosenPlan = planBackup(inventory, {
    chosen,
    excluded: flags.exclude ?? [],
    excludedIfThere: flags.excludeIfThere ?? [],
    running: flags.running ?? 'include',
  });
  for (const name of chosenPlan.gone) {
    report.warning(`there is no VM called ${name} any more, which the profile leaves out`);
  }
  const { compressFilter, kdfCost } = { ...FORMAT_DEFAULTS[flags.format], ...flags };
  if (compressFilter !== 'none') await requireCompressor(compressFilter);
  const place = await atHand.storage(flags.destVm);
  if (chosenPlan.dom0Home !== undefined && place.owner === 'dom0' && flags.command !== true) {
    await refuseIntoItself(chosenPlan.dom0Home.path, location);
  }
  const plan = await measurePlan(chosenPlan);
  const estimate = estimateOf(plan, compressFilter !== 'none');
  const destination = await askedForVm(location, inventory, chosen, () =>
    seeDestination(atHand, place, location, flags, signal),
  );
  const yes = flags.yes === true;
  const propose = (text: string): void => (yes ? report.say(text) : report.ask(text));
  propose(formatPlan(plan));
  propose(`${formatSize(estimate.most)} in all, to ${describeDestination(destination)}.`);
  const doubt = whyItMayNotFit(estimate, destination);
  if (doubt !== undefined) report.warning(doubt);
  if (!yes) await confirm('Back up?', signal);

  const passphrase = await askNewPassphrase(
    flags.passphraseFile,
    flags.format,
    (text) => report.warning(text),
    signal,
  );
  const created = new Date();
  const { sink: opened, fileName } =
    flags.command === true
      ? { sink: await place.openSink({ command: location }, undefined, signal), fileName: '' }
      : await askedForVm(location, inventory, chosen, () =>
          openNewFile(place, location, created, estimate.least, signal),
        );
  await using sink = opened;
  if (destination.space.freeBytes === undefined) {
    const newDoubt = whyItMayNotFit(estimate, sink);
    if (newDoubt !== undefined) {
      report.warning(newDoubt);
      if (!yes) await confirm('Back up all the same?', signal);
    }
  }

  const begun = Date.now();
  report.startProgress(estimate.most);
  const options = {
    passphrase,
    format: flags.format,
    encrypted: flags.encrypt,
    compressionFilter: compressFilter === 'none' ? undefined : compressFilter,
    kdf: scryptCost(kdfCost),
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
    flags.withRecovery === true ? await storeRecoveryKit(place, location, fileName, signal) : [];
  const seconds = (Date.now() - begun) / 1000;

  report.say(formatBackedUp(plan, backedUp));
  report.say(`Stored ${formatSize(stored.bytes)} in ${stored.location}, ${seconds.toFixed(1)} s.`);
  const failed = backedUp.filter(({ failure }) => failure !== undefined).map(({ name }) => name);
  if (failed.length > 0) {
    report.say(`Not everything was backed up: ${failed.join(', ')} failed, the table says why.`);
  }
  const done = failed.length === 0 && missing.length === 0;
  if (kit.length > 0) report.say(describeKit(kit));
  report.result({
    ok: done,
    command: 'backup',
    vm: place.owner,
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

/**
 * The VMs that a profile names and the system does not have, which must not keep the others from their
 * backup. None when it has none of them: then there is nothing to back up, and the first name is refused.
 */
function missingOf(named: readonly string[], { listed }: Inventory): string[] {
  const known = new Set(['dom0', ...listed.map(({ name }) => name)]);
  const missing = named.filter((name) => !known.has(name));
  return missing.length === named.length ? [] : missing;
}

/** Throws UsageError for options that do not go together. */
function refuseContradictions({ format, encrypt, withRecovery, command }: BackupFlags): void {
  if (format === 'qubes-4' && !encrypt) {
    throw new UsageError(
      '--no-encrypt does not go with --format qubes-4: that is always encrypted',
    );
  }
  if (withRecovery !== true) return;
  if (command === true) {
    throw new UsageError('--with-recovery needs a directory: it does not go with --command');
  }
  if (format === 'qubes-4') {
    throw new UsageError(
      '--with-recovery does not go with --format qubes-4: its recover.sh reads coffer-1 only',
    );
  }
}

/** With the sums: whoever can change the backup can change these as well. */
function describeKit(kit: readonly StoredArchive[]): string {
  const files = kit.map(({ location, sha256 }) => `  ${sha256}  ${location}`);
  return ['How to recover it without coffer is told beside it (SHA-256):', ...files].join('\n');
}

/**
 * Runs `step`, which finds out whether the directory is there. When it is not, and bears the name of a VM,
 * the directory was forgotten, and that is said instead.
 */
async function askedForVm<T>(
  location: string,
  { qubes }: Inventory,
  chosen: readonly string[],
  step: () => Promise<T>,
): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof NotFoundError) || !qubes.some(({ name }) => name === location)) {
      throw error;
    }
    throw new RefusedError(
      `was the directory forgotten? ${location} is a VM: say \`coffer backup DIRECTORY ` +
        `${[location, ...chosen].join(' ')}\``,
      { cause: error },
    );
  }
}
