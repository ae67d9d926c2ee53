import type { QubeRow } from '../qube-list.ts';
import type { BackupContents } from '../told.ts';

/** The VMs in a backup, and dom0's home, as rows. */
export function contentRows({ qubes, dom0Home }: BackupContents): QubeRow[] {
  const rows = qubes.map((qube) => ({ ...qube, running: false, last: '', lastTime: '' }));
  if (dom0Home === null) return rows;
  const home = { name: 'dom0', class: 'AdminVM', label: 'black', size: null, used: dom0Home.used };
  return [...rows, { ...home, running: false, last: '', lastTime: '' }];
}
