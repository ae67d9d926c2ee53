import type { QubesAndHome } from '../qubes/backup-contents.ts';
import type { Share } from './progress.ts';

/** What is read of a backup, for its progress. */
export function sharesIn({ qubes, dom0Home }: QubesAndHome): Share[] {
  const shares = qubes.map(({ qube, size }) => ({ name: qube.name, total: size }));
  if (dom0Home !== undefined) shares.push({ name: 'dom0', total: dom0Home.size });
  return shares;
}
