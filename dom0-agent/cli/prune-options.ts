import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../../shared/errors.ts';
import { PERIODS, type Span, parseSpan } from '../forget/period.ts';
import type { RetentionRules } from '../forget/retention.ts';
import { type ArchiveFlags, addDirectoryOptions, addSystemOptions } from './archive-options.ts';

/** The rules of `coffer prune`, as commander returns them. */
export interface RuleFlags {
  readonly keepLast?: number;
  readonly keepDaily?: number;
  readonly keepWeekly?: number;
  readonly keepMonthly?: number;
  readonly keepYearly?: number;
  readonly keepWithin?: Span;
}

/** The options of `coffer prune`, as commander returns them. */
export interface PruneFlags extends RuleFlags, Omit<ArchiveFlags, 'command' | 'compressionFilter'> {
  readonly profile?: string;
  readonly list?: true;
  readonly publicKey?: true;
  readonly dryRun?: true;
  readonly yes?: true;
}

const CALENDAR = `
The rules apply to each VM separately: a backup is kept if any rule keeps it for any VM. Days, weeks (from Monday), \
months and years are those of dom0's time zone.`;

/** Adds the options of `coffer prune`. */
export function addPruneOptions(command: Command): Command {
  const withPlace = addSystemOptions(addDirectoryOptions(command));
  return addRules(withPlace)
    .option('--profile <NAME>', 'take LOCATION and rules from a profile, if it has rules')
    .option(
      '--list',
      'delete nothing, but store a signed list of the files to delete, for coffer-gc.sh on the storage side',
    )
    .option('--public-key', 'print the key that such lists are verified with, and do nothing else')
    .option('--dry-run', 'show what would be forgotten, and change nothing')
    .option('-y, --yes', 'do not ask for confirmation')
    .addHelpText('after', CALENDAR);
}

/** Adds the options that say what is kept, for the command line and for profiles. */
export function addRules(command: Command): Command {
  command.addOption(
    new Option('--keep-last <N>', 'keep the newest N backups of each VM').argParser(parseCount),
  );
  for (const period of PERIODS) {
    command.addOption(
      new Option(
        `--keep-${period} <N>`,
        `keep the last backup of each of the newest N ${NAMES[period]} that have one`,
      ).argParser(parseCount),
    );
  }
  return command.addOption(
    new Option(
      '--keep-within <TIME>',
      'keep all backups made within this time before the newest: 36h, 30d, 8w, 6m, 2y',
    ).argParser(parseTime),
  );
}

const NAMES = { daily: 'days', weekly: 'weeks', monthly: 'months', yearly: 'years' };

/** Whether at least one rule is given. */
export function hasRules(flags: RuleFlags): boolean {
  return Object.values(asRules(flags)).some((rule) => rule !== undefined);
}

/** The rules that are given. Throws UsageError when there are none: nothing would be kept. */
export function rulesOf(flags: RuleFlags): RetentionRules {
  if (hasRules(flags)) return asRules(flags);
  throw new UsageError('say what to keep: --keep-last, --keep-daily, … (coffer prune --help)');
}

function asRules(flags: RuleFlags): RetentionRules {
  return {
    last: flags.keepLast,
    daily: flags.keepDaily,
    weekly: flags.keepWeekly,
    monthly: flags.keepMonthly,
    yearly: flags.keepYearly,
    within: flags.keepWithin,
  };
}

function parseCount(value: string): number {
  const count = /^\d{1,5}$/.test(value) ? Number(value) : 0;
  if (count >= 1) return count;
  throw new InvalidArgumentError('It must be a whole number from 1 to 99999');
}

function parseTime(value: string): Span {
  const span = parseSpan(value);
  if (span !== undefined) return span;
  throw new InvalidArgumentError(
    'It must be a number of hours, days, weeks, months or years: 36h, 30d, 8w, 6m, 2y',
  );
}
