import { Command } from 'commander';
import { ExitStatus } from '../../shared/errors.ts';
import { suggestion } from '../qubes/names-from-user.ts';
import { applyOutputOptions } from './archive-options.ts';
import { EXAMPLES, formatExamples } from './examples.ts';
import { showNotice, showResult } from './output.ts';
import { addBackupCommands } from './backup-commands.ts';
import { addSeriesCommands } from './series-commands.ts';
import { addSystemCommands } from './system-commands.ts';
import { addHiddenCommands } from './hidden-commands.ts';

/** Exported for the manual. */
export { EXAMPLES } from './examples.ts';

export const EXIT_STATUSES = `
Exit status:
  0    done
  1    failed, or partly done: the table at the end says what
  2    wrong usage
  3    wrong passphrase, or the backup is damaged, incomplete or forged
  4    the storage VM, the channel to it or the storage failed
  5    refused before anything was done: a VM is running, a name is taken, …
  130  interrupted`;

/** Set by the build from package.json. */
declare const COFFER_VERSION: string;

/**
 * The grammar of the command line. Each command is implemented in the file of the same name, which is loaded when the
 * command is called, so that help is fast.
 *
 * @param ended called with the exit status of a command that ends without an error
 */
export function buildProgram(signal: AbortSignal, ended: (status: number) => void): Command {
  const program = new Command('coffer')
    .description(
      'Backs up and restores Qubes OS virtual machines through untrusted storage. Without a command, on a ' +
        'terminal, coffer asks what to do.',
    )
    .version(typeof COFFER_VERSION === 'string' ? COFFER_VERSION : 'development')
    .addHelpText('after', EXIT_STATUSES)
    .showHelpAfterError('(see coffer --help)')
    .exitOverride()
    .hook('preAction', (_, command) => applyOutputOptions(command.opts()))
    .configureOutput({
      writeOut: (text) => showResult(text.trimEnd()),
      writeErr: (text) => showNotice(text.trimEnd()),
      outputError: (text, write) => write(text.replace(/^error: /, 'coffer: ')),
    });

  addBackupCommands(program, signal, ended);
  addSeriesCommands(program, signal, ended);
  addSystemCommands(program, signal, ended);
  addHiddenCommands(program, signal, ended);
  addHelpCommand(program, ended);
  for (const command of program.commands) {
    command.showHelpAfterError(`(see coffer ${command.name()} --help)`);
    const examples = EXAMPLES[command.name()];
    if (examples !== undefined) command.addHelpText('after', formatExamples(examples));
  }
  return program;
}

function addHelpCommand(program: Command, ended: (status: number) => void): void {
  // commander's own help command would show the general help for an unknown command.
  program
    .helpCommand(false)
    .command('help', { hidden: true })
    .argument('[COMMAND]')
    .action((name: string | undefined) => {
      const found = program.commands.find((command) => command.name() === name);
      if (name !== undefined && found === undefined) {
        program.error(`error: there is no command ${name}${suggestion(name, namesOf(program))}`, {
          code: 'commander.unknownCommand',
        });
      }
      (found ?? program).outputHelp();
      ended(ExitStatus.done);
    });
}

/** The names of the commands that the help shows. */
function namesOf(program: Command): string[] {
  return program
    .createHelp()
    .visibleCommands(program)
    .map((command) => command.name());
}
