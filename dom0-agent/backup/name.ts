/**
 * The name of a new backup, as Qubes names them: `qubes-backup-2026-11-23T194201`, local time. The second of
 * that second is `…T194201-2`.
 */
export function backupName(created: Date, number = 1): string {
  const two = (number: number): string => number.toString().padStart(2, '0');
  const date = [created.getFullYear(), two(created.getMonth() + 1), two(created.getDate())];
  const time = [created.getHours(), created.getMinutes(), created.getSeconds()].map(two);
  const name = `qubes-backup-${date.join('-')}T${time.join('')}`;
  return number === 1 ? name : `${name}-${number}`;
}
