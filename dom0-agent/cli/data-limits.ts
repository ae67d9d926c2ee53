import { GiB, MiB } from '../../shared/sizes.ts';
import type { DataLimits } from '../archive/coffer1/data-files.ts';
import type { Estimate } from '../backup/backup-space.ts';
import type { BackupFlags } from './backup-options.ts';
import { goesIntoSeries } from './backup-series.ts';
import type { Destination } from './destination.ts';

const MINUTE = 60_000;

/** When a file is closed: from then on, what was sent survives an interruption. */
const LIMITS: DataLimits = {
  own: { bytes: 256 * MiB, milliseconds: 15 * MINUTE },
  data: { bytes: 16 * GiB, milliseconds: 15 * MINUTE },
  least: 16 * MiB,
};

/** The largest file on FAT, in bytes. A first backup that may be larger is not made in one file. */
const LARGEST_IN_ONE_FILE = 4 * GiB - 1;

/** How large the files of a backup's data become, and after which time they are closed. */
export function dataLimits(): DataLimits {
  const bytes = bytesForTests();
  if (bytes === undefined) return LIMITS;
  const filling = { bytes, milliseconds: Infinity };
  return { own: filling, data: filling, least: 1 };
}

/** COFFER_DATA_FILE: about how many bytes go into each file, instead of the limits above. */
function bytesForTests(): number | undefined {
  const text = process.env['COFFER_DATA_FILE'] ?? '';
  return /^[0-9]+$/.test(text) ? Number(text) : undefined;
}

/** Whether the next backup can continue from what this one leaves if it is interrupted. */
export function keepsData(
  { destination }: { readonly destination: Pick<Destination, 'listing'> },
  flags: BackupFlags,
): boolean {
  return goesIntoSeries(flags) && flags.full !== true && destination.listing !== undefined;
}

/** Whether a first backup is made in more than one file, so that it need not be sent again if it is interrupted. */
export function isLong(
  proposal: { readonly destination: Pick<Destination, 'listing'>; readonly estimate: Estimate },
  flags: BackupFlags,
): boolean {
  const largest = bytesForTests() ?? LARGEST_IN_ONE_FILE;
  return keepsData(proposal, flags) && proposal.estimate.most > largest;
}
