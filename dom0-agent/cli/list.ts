import { ExitStatus } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import { savedVolumes, sizeOfVolumes } from '../qubes/qube.ts';
import type { ArchiveFlags } from './archive-options.ts';
import { describeBackup, openBackup, usableContents } from './open-backup.ts';
import { formatKnownSize, formatTable, QUBE_COLUMNS, qubeColumns } from './table.ts';
import { openSystem } from './open-system.ts';
import { CommandReport } from './command-report.ts';

/** `coffer list`. Gives the exit status. */
export async function listCommand(
  location: string,
  flags: ArchiveFlags,
  signal: AbortSignal,
): Promise<number> {
  using report = new CommandReport(flags);
  await using backup = await openBackup(
    await openSystem(flags.system, (text) => report.info(text)),
    location,
    flags,
    signal,
  );
  const {
    source,
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
  for (const { name, why } of contents.unusable) {
    rows.push([name, '', '', '', '', '', '', `cannot be restored: ${why}`]);
  }
  report.say(describeBackup(backup));
  report.say(formatTable(['VM', ...QUBE_COLUMNS, 'label', 'size', 'used', ''], rows));
  report.say('Only the header and the list of VMs were checked: coffer verify checks all.');
  report.result({
    ok: true,
    command: 'list',
    format: header.format,
    created: contents.created?.toISOString() ?? null,
    encrypted: header.encrypted,
    compression: header.compressionFilter ?? 'none',
    bytes: source.size ?? null,
    qubes: contents.qubes.map(({ qube, size, remarks }) => ({
      name: qube.name,
      class: qube.qubeClass,
      label: qube.label,
      template: qube.properties.get('template') ?? null,
      netvm: qube.properties.get('netvm') ?? null,
      size: sizeOfVolumes(qube) ?? null,
      used: size,
      volumes: savedVolumes(qube).map(({ name }) => name),
      remarks,
    })),
    dom0Home: contents.dom0Home !== undefined,
    unusable: contents.unusable.map(({ name, why }) => ({ name, why })),
  });
  return ExitStatus.done;
}
