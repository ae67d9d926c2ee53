import { formatSize } from '../../shared/sizes.ts';
import type { MeasuredPlan } from '../backup/plan-home.ts';
import { type BackupPlan, expectedBytes } from '../backup/plan-backup.ts';
import type { BackedUp } from '../backup/backup-files.ts';
import type { LeftOut } from '../qubes/names-from-user.ts';
import type { StoredArchive } from '../transport/storage.ts';
import { formatKnownSize, formatTable, QUBE_COLUMNS, qubeColumns } from './table.ts';

/** The remark in tables about a VM that is backed up while it is running. */
const AS_LAST_SAVED = 'running: its last saved state';

/** What will be backed up, VM by VM, and what will not. */
export function formatBackupPlan({ qubes, dom0Home, dom0Paths, leftOut }: MeasuredPlan): string {
  const rows = qubes.map(({ qube, volumes, running }) => [
    qube.name,
    ...qubeColumns(qube),
    volumes.map(({ name }) => name).join(', '),
    formatSize(volumes.reduce((sum, { size }) => sum + size, 0)),
    formatSize(volumes.reduce((sum, volume) => sum + expectedBytes(volume), 0)),
    running ? AS_LAST_SAVED : '',
  ]);
  if (dom0Home !== undefined) {
    const used = formatSize(dom0Home.size.expected);
    rows.push(['dom0', 'home', '', '', dom0Home.path, '', used, '']);
  }
  if (dom0Paths !== undefined) {
    const used = formatSize(dom0Paths.size.expected);
    rows.push(['dom0', 'configuration', '', '', dom0Paths.paths.join(', '), '', used, '']);
  }
  const table = formatTable(['VM', ...QUBE_COLUMNS, 'volumes', 'size', 'used', ''], rows);
  return leftOut.length === 0 ? table : `${table}\nNot backed up: ${inWords(leftOut)}.`;
}

/** What has been backed up, and the chosen VMs that were skipped because they are running. */
export function formatBackedUp({ leftOut }: BackupPlan, backedUp: readonly BackedUp[]): string {
  const rows = backedUp.map(({ name, size, used, running, failure }) => [
    name,
    formatKnownSize(size),
    formatSize(used),
    failure === undefined ? (running ? AS_LAST_SAVED : '') : `failed: ${failure}`,
  ]);
  for (const { name } of leftOut.filter(({ why }) => why === 'running')) {
    rows.push([name, '', '', 'not backed up: it is running']);
  }
  return formatTable(['VM', 'size', 'read', ''], rows);
}

/** The VMs by reason: `vault (left out as requested); sys-net, sys-usb (include_in_backups is off)`. */
function inWords(leftOut: readonly LeftOut[]): string {
  const reasons = [...new Set(leftOut.map(({ why }) => why))];
  return reasons
    .map((why) => {
      const names = leftOut.filter((each) => each.why === why).map(({ name }) => name);
      return why === '' ? names.join(', ') : `${names.join(', ')} (${why})`;
    })
    .join('; ');
}

/** The recovery kit with its checksums: whoever can change the backup can change these files as well. */
export function describeKit(kit: readonly StoredArchive[]): string {
  const files = kit.map(({ location, sha256 }) => `  ${sha256}  ${location}`);
  return ['For recovery without coffer, these files are next to it (SHA-256):', ...files].join(
    '\n',
  );
}
