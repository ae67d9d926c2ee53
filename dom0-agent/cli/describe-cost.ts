import { formatSize } from '../../shared/sizes.ts';
import type { BackupCost } from '../backup/backup-cost.ts';
import { formatEstimate } from './durations.ts';

/**
 * How much work a backup that continues a series will be, in sentences; empty if nothing is known.
 *
 * @param all bytes of all its data, changed or not
 */
export function describeCost({ mostRead, mostSeconds, last }: BackupCost, all: number): string {
  return [
    ...(mostRead < all
      ? [
          `At most ${formatSize(mostRead)} of the data has to be read, unless the storage has lost any of it.`,
        ]
      : []),
    ...(mostSeconds === undefined || mostRead === 0 ? [] : [describeTime(mostSeconds)]),
    ...(last === undefined ? [] : [describeLast(last)]),
  ].join(' ');
}

function describeTime(seconds: number): string {
  const time = formatEstimate(seconds);
  return `If all of that has to be read, it takes about ${time}, at the speed of an earlier backup.`;
}

function describeLast({ effort }: NonNullable<BackupCost['last']>): string {
  const [read, fresh] = [effort.read, effort.new].map((bytes) => formatSize(bytes));
  return `The last one took ${formatEstimate(effort.seconds)}: ${read} read, ${fresh} new.`;
}
