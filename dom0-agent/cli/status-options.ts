import { type Command, InvalidArgumentError, Option } from 'commander';
import { type OutputFlags, addSystemOptions } from './archive-options.ts';

/** The options of `coffer status`, as commander returns them. */
export interface StatusFlags extends OutputFlags {
  readonly system?: string;
  readonly notify?: true;
  /** In days. */
  readonly due: number;
}

const MOST_DAYS = 3650;

/** Adds the options of `coffer status`. */
export function addStatusOptions(command: Command): Command {
  return addSystemOptions(command)
    .addOption(
      new Option('--due <DAYS>', 'how old a backup may be before the next one is due')
        .env('COFFER_DUE')
        .default(7)
        .argParser(parseDays),
    )
    .option('--notify', 'show a notification on the desktop when the exit status is 1');
}

function parseDays(value: string): number {
  const days = /^\d{1,4}$/.test(value) ? Number(value) : 0;
  if (days >= 1 && days <= MOST_DAYS) return days;
  throw new InvalidArgumentError(`It must be a whole number of days from 1 to ${MOST_DAYS}`);
}
