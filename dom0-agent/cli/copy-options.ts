import type { Command } from 'commander';
import { type OutputFlags, THROUGH, addSystemOptions } from './archive-options.ts';

/** The options of `coffer copy`, as commander returns them. */
export interface CopyFlags extends OutputFlags {
  readonly destVm?: string;
  readonly through?: string;
  readonly to?: string;
  readonly toThrough?: string;
  readonly check: boolean;
  readonly compare?: true;
  readonly system?: string;
  readonly yes?: true;
}

/** Adds the arguments and options of `coffer copy`. */
export function addCopyOptions(command: Command): Command {
  return addSystemOptions(
    command
      .argument('<LOCATION>', 'the directory of the backups')
      .argument('<TARGET>', 'the directory to copy them to')
      .option('-d, --dest-vm <VM>', 'the VM that LOCATION is in; without it, dom0')
      .option('--through <COMMAND>', THROUGH)
      .option('--to <VM>', 'the VM that TARGET is in; without it, dom0')
      .option('--to-through <COMMAND>', 'the same as --through, for TARGET'),
  )
    .option('--no-check', 'do not read back what was copied')
    .option(
      '--compare',
      'also read the files that are already there, in both places, and compare them',
    )
    .option('-y, --yes', 'do not ask for confirmation');
}
