import type { Command } from 'commander';
import { addSystemOption } from './archive-options.ts';

/** Adds the commands that coffer itself, and the completion of shells, call. */
export function addHiddenCommands(
  program: Command,
  signal: AbortSignal,
  ended: (status: number) => void,
): void {
  program
    .command('read-volume', { hidden: true })
    .argument('<PATH>')
    .argument('<LABEL>')
    .option('--unsearched')
    .action(async (path: string, label: string, flags: { unsearched?: boolean }) => {
      const { readVolumeCommand } = await import('./read-volume.ts');
      ended(await readVolumeCommand(path, label, flags));
    });

  program
    .command('complete', { hidden: true })
    .argument('[WORD...]')
    .action(async (words: string[]) => {
      const { completeCommand } = await import('./complete.ts');
      ended(await completeCommand(program, words, signal));
    });

  addSystemOption(program.command('roll-back', { hidden: true }))
    .argument('<OWNER>')
    .action(async (owner: string, flags: { system?: string }) => {
      const { rollBackCommand } = await import('./roll-back.ts');
      ended(await rollBackCommand(owner, flags));
    });
}
