import { ExitStatus, UsageError } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import { scryptCost } from '../archive/coffer1/scrypt-cost.ts';
import type { CompressionFilter } from '../archive/compression.ts';
import { readInventory } from '../backup/inventory.ts';
import { type BackupFormat, FORMAT_DEFAULTS } from '../backup/formats.ts';
import { type BackupPlan, expectedBytes, planBackup } from '../backup/plan.ts';
import { storeRecoveryKit } from '../backup/recovery-kit.ts';
import { type BackedUp, noteBackupTime, writeBackup } from '../backup/run.ts';
import { refuseIntoItself } from '../backup/into-itself.ts';
import { openNewFile } from '../backup/new-file.ts';
import type { StoredArchive } from '../transport/storage.ts';
import { confirm } from './confirm.ts';
import type { ArchiveFlags } from './flags.ts';
import { askPassphrase } from './passphrase.ts';
import { systemAtHand } from './system-at-hand.ts';
import { formatTable } from './table.ts';
import { takeBackIfKilled } from './take-back.ts';
import { Terminal } from './terminal.ts';

export interface BackupFlags extends ArchiveFlags {
  readonly exclude: readonly string[];
  readonly includeRunning?: true;
  readonly format: BackupFormat;
  readonly encrypt: boolean;
  /** By default, as `FORMAT_DEFAULTS` has it; so is the cost. */
  readonly compressFilter?: CompressionFilter | 'none';
  readonly kdfCost?: number;
  readonly withRecovery?: true;
  readonly profile?: string;
  readonly yes?: true;
}

/** What the tables say of a VM that is backed up while it runs. */
const AS_LAST_SAVED = 'running: as it was last saved';

/** `coffer backup`. Gives the exit status. */
export async function backupCommand(
  location: string,
  chosen: readonly string[],
  flags: BackupFlags,
  signal: AbortSignal,
): Promise<number> {
  refuseContradictions(flags);
  const terminal = new Terminal(flags);
  const { system, storage } = await systemAtHand(flags.system, (text) => terminal.info(text));
  const plan = planBackup(await readInventory(system), {
    chosen,
    excluded: flags.exclude,
    includeRunning: flags.includeRunning ?? false,
  });
  const place = await storage(flags.destVm);
  if (plan.dom0Home !== undefined && place.owner === 'dom0' && flags.command !== true) {
    await refuseIntoItself(plan.dom0Home.path, location);
  }
  const passphrase = await askPassphrase(flags.passphraseFile, true);
  const created = new Date();
  const destination =
    flags.command === true
      ? { sink: await place.openSink({ command: location }, undefined, signal), fileName: '' }
      : await openNewFile(place, location, created, signal);
  await using sink = destination.sink;
  terminal.say(formatPlan(plan));
  terminal.say(`${formatSize(totalBytes(plan))} in all, to ${sink.location}${freeSpace(sink)}.`);
  if (flags.yes !== true) await confirm('Back up?');

  const begun = Date.now();
  terminal.startProgress(totalBytes(plan));
  const { compressFilter, kdfCost } = { ...FORMAT_DEFAULTS[flags.format], ...flags };
  const options = {
    passphrase,
    format: flags.format,
    encrypted: flags.encrypt,
    compressionFilter: compressFilter === 'none' ? undefined : compressFilter,
    kdf: scryptCost(kdfCost),
    created,
  };
  const will = await takeBackIfKilled(flags.system);
  const backedUp = await writeBackup(plan, system, sink, options, terminal, signal).finally(() =>
    will.revoke(),
  );
  const stored = await sink.finish();
  terminal.endProgress();
  await noteBackupTime(plan, system, created, terminal);
  const kit =
    flags.withRecovery === true
      ? await storeRecoveryKit(place, location, destination.fileName, signal)
      : [];
  const seconds = (Date.now() - begun) / 1000;

  terminal.say(formatTable(['VM', 'data', ''], rowsOf(backedUp)));
  terminal.say(
    `Stored ${formatSize(stored.bytes)} in ${stored.location}, ${seconds.toFixed(1)} s.`,
  );
  if (kit.length > 0) terminal.say(describeKit(kit));
  terminal.result({
    ok: true,
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
    recovery: kit,
    warnings: terminal.warnings,
    seconds,
  });
  return ExitStatus.done;
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

function totalBytes({ qubes }: BackupPlan): number {
  const volumes = qubes.flatMap((planned) => planned.volumes);
  return volumes.reduce((sum, volume) => sum + expectedBytes(volume), 0);
}

function freeSpace({ freeBytes }: { readonly freeBytes: number | undefined }): string {
  return freeBytes === undefined ? '' : ` (${formatSize(freeBytes)} free there)`;
}

/** What will be backed up, VM by VM. */
function formatPlan({ qubes, dom0Home }: BackupPlan): string {
  const rows = qubes.map(({ qube, volumes, running }) => [
    qube.name,
    qube.qubeClass,
    volumes.map(({ name }) => name).join(', '),
    formatSize(volumes.reduce((sum, volume) => sum + expectedBytes(volume), 0)),
    running ? AS_LAST_SAVED : '',
  ]);
  if (dom0Home !== undefined) rows.push(['dom0', 'home', dom0Home.path, '', '']);
  return formatTable(['VM', 'class', 'volumes', 'size', ''], rows);
}

function rowsOf(backedUp: readonly BackedUp[]): string[][] {
  return backedUp.map(({ name, bytes, running }) => [
    name,
    formatSize(bytes),
    running ? AS_LAST_SAVED : '',
  ]);
}
