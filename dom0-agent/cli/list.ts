import { ExitStatus } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import { savedVolumes, sizeOfVolumes } from '../qubes/qube.ts';
import { referencesOf } from '../restore/references.ts';
import { isRefusal } from '../transport/storage-errors.ts';
import type { ArchiveFlags } from './archive-options.ts';
import { listBackups } from './list-backups.ts';
import {
  type OpenedBackup,
  backupForPrograms,
  describeBackup,
  openBackup,
  usableContents,
} from './open-backup.ts';
import { askOptionalPassphrase, askPassphrase } from './questions.ts';
import { formatKnownSize, formatTable, QUBE_COLUMNS, qubeColumns } from './table.ts';
import { knownStates } from './known-files.ts';
import { openSystem } from './open-system.ts';
import { CommandReport } from './command-report.ts';

/** The options of `coffer list`, as commander returns them. */
export interface ListFlags extends ArchiveFlags {
  /** In a directory: whether to open the backups, which needs the passphrase. */
  readonly contents: boolean;
}

/** `coffer list` of a backup or a directory. Returns the exit status. */
export async function listCommand(
  location: string,
  flags: ListFlags,
  signal: AbortSignal,
): Promise<number> {
  using report = new CommandReport(flags);
  const opened = await openSystem(flags.system, (text) => report.info(text));
  let given: Buffer | undefined;
  // A copy, because whoever asks wipes it.
  const ask = async (): Promise<Buffer> =>
    Buffer.from((given = await askPassphrase(flags.passphraseFile, signal)));
  const askAgain = async (): Promise<Buffer | undefined> =>
    given === undefined
      ? await askOptionalPassphrase(flags.passphraseFile, signal)
      : Buffer.from(given);
  const inDirectory = async (contents: () => Promise<Buffer | undefined>): Promise<number> =>
    listBackups(
      await opened.storage(flags),
      location,
      contents,
      await knownStates(opened, report),
      report,
      signal,
    );
  if (!flags.contents) return await inDirectory(() => Promise.resolve(undefined));
  try {
    await using backup = await openBackup(opened, location, flags, report, signal, ask);
    return await listBackup(backup, report);
  } catch (error) {
    if (!isRefusal(error, 'NOT_A_FILE')) throw error;
    return await inDirectory(askAgain);
  } finally {
    given?.fill(0);
  }
}

async function listBackup(backup: OpenedBackup, report: CommandReport): Promise<number> {
  const {
    reader: { header },
  } = backup;
  const contents = await usableContents(backup);
  const rows = contents.qubes.map(({ qube, size, remarks }) => [
    qube.name,
    ...qubeColumns(qube),
    qube.label,
    formatKnownSize(sizeOfVolumes(qube)),
    formatSize(size),
    remarks.join('; '),
  ]);
  if (contents.dom0Home !== undefined) {
    rows.push(['dom0', 'home', '', '', '', '', formatSize(contents.dom0Home.size), '']);
  }
  if (contents.dom0Paths !== undefined) {
    const { paths, size } = contents.dom0Paths;
    rows.push(['dom0', 'configuration', '', '', '', '', formatSize(size), paths.join(', ')]);
  }
  for (const { name, why } of contents.unusable) {
    rows.push([name, '', '', '', '', '', '', `cannot be restored: ${why}`]);
  }
  report.say(describeBackup(backup));
  report.say(formatTable(['VM', ...QUBE_COLUMNS, 'label', 'size', 'used', ''], rows));
  report.say('Only the header and the list of VMs were checked: coffer verify checks everything.');
  report.result({
    ok: true,
    command: 'list',
    ...backupForPrograms(backup),
    compression: header.compressionFilter ?? 'none',
    qubes: contents.qubes.map(({ qube, size, remarks }) => ({
      name: qube.name,
      class: qube.qubeClass,
      label: qube.label,
      template: qube.properties.get('template') ?? null,
      netvm: qube.properties.get('netvm') ?? null,
      references: referencesOf(qube),
      size: sizeOfVolumes(qube) ?? null,
      used: size,
      volumes: savedVolumes(qube).map(({ name }) => name),
      remarks,
    })),
    dom0Home: contents.dom0Home === undefined ? null : { used: contents.dom0Home.size },
    dom0Paths: contents.dom0Paths && {
      paths: contents.dom0Paths.paths,
      used: contents.dom0Paths.size,
    },
    unusable: contents.unusable.map(({ name, why }) => ({ name, why })),
  });
  return ExitStatus.done;
}
