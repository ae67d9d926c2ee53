import { type QubesAndHome, sizeOfDom0 } from '../qubes/backup-contents.ts';
import type { Share } from './progress.ts';

/** What is read from a backup, for its progress. */
export function sharesIn(contents: QubesAndHome): Share[] {
  const shares = contents.qubes.map(({ qube, size }) => ({ name: qube.name, total: size }));
  const ofDom0 = sizeOfDom0(contents);
  if (ofDom0 !== undefined) shares.push({ name: 'dom0', total: ofDom0 });
  return shares;
}
