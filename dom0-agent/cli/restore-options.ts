import { type Command, InvalidArgumentError } from 'commander';
import { FILE_OR_COMMAND, addExclude, addReadingOptions } from './archive-options.ts';
import type { ChoiceFlags } from './choose-backup.ts';
import type { RestoreChoices } from '../restore/plan-input.ts';
import type { RestoreOptions } from '../restore/run-restore.ts';
import { addHabitsOfRestore } from './habits.ts';

/** The options of `coffer restore`, as commander returns them. */
export interface RestoreFlags
  extends ChoiceFlags, Omit<RestoreChoices, 'chosen' | 'excluded'>, RestoreOptions {
  readonly exclude?: readonly string[];
  readonly verifyOnly?: true;
  readonly yes?: true;
}

/** Adds the arguments and options of `coffer restore`. */
export function addRestoreOptions(command: Command): Command {
  return addHabitsOfRestore(addExclude(addReadingOptions(command)))
    .argument('<LOCATION>', FILE_OR_COMMAND)
    .argument('[VM...]', 'the VMs to restore; by default all')
    .option(
      '--at-least <NUMBER>',
      'refuse a backup with a smaller number in its series, in case the storage shows an old state',
      parseCount,
    )
    .option('--rename-conflicting', 'restore under a new name where the name is taken')
    .option(
      '--new-name <VM=NAME>',
      'restore this VM under that name (can be repeated)',
      collectPair,
    )
    .option('--skip-conflicting', 'leave out VMs whose names are taken')
    .option('--ignore-missing', 'use the default for a missing template, netvm or default DispVM')
    .option(
      '--use-template <VM=TEMPLATE>',
      'base this VM on that template (can be repeated)',
      collectPair,
    )
    .option(
      '--use-netvm <VM=NETVM>',
      'give this VM that netvm, `none`, or the `default` (can be repeated)',
      collectPair,
    )
    .option(
      '--use-dispvm <VM=DISPVM>',
      'give this VM that default DispVM, `none`, or the `default` (can be repeated)',
      collectPair,
    )
    .option(
      '--use-kernel <VM=KERNEL>',
      'start this VM with that kernel of dom0, or the `default` (can be repeated)',
      collectPair,
    )
    .option('--skip-broken', 'leave out VMs that lack a template, netvm or default DispVM')
    .option('--skip-dom0-home', "do not restore dom0's home")
    .option('--ignore-username-mismatch', "restore dom0's home even if its user had another name")
    .option('--pool <POOL>', 'put the volumes into this storage pool')
    .option(
      '--keep-failed',
      'keep a VM that could not be restored completely, with the tag restore-failed',
    )
    .option('--ignore-size-limit', 'accept volumes that are larger than the backup says')
    .option(
      '--distrust-settings',
      'the backup may come from a compromised system: restore the data, but no setting that could give ' +
        'a VM influence',
    )
    .option('--verify-only', 'the same as coffer verify')
    .option('-y, --yes', 'do not ask for confirmation');
}

function parseCount(value: string): number {
  if (/^[1-9]\d{0,9}$/.test(value)) return Number(value);
  throw new InvalidArgumentError('It must be a whole number from 1 on');
}

/** Parses VM=VALUE, an option that can be repeated: adds it to the former ones. */
function collectPair(
  value: string,
  former: ReadonlyMap<string, string> = new Map(),
): ReadonlyMap<string, string> {
  const at = value.indexOf('=');
  if (at < 1 || at === value.length - 1) {
    throw new InvalidArgumentError('It must be the name of a VM, =, and what is chosen for it');
  }
  const vm = value.slice(0, at);
  if (former.has(vm)) throw new InvalidArgumentError(`It is given for ${vm} twice`);
  return new Map([...former, [vm, value.slice(at + 1)]]);
}
