import { ExitStatus } from '../../shared/errors.ts';
import { refuseRepeated } from '../qubes/names.ts';
import { totalSize } from '../restore/contents.ts';
import type { Outcome } from '../restore/outcome.ts';
import { selectContents } from '../restore/selection.ts';
import { verifyBackup } from '../restore/verify.ts';
import type { ArchiveFlags } from './flags.ts';
import { describeBackup, openBackup } from './opened-backup.ts';
import { formatOutcomes } from './outcomes.ts';
import { systemAtHand } from './system-at-hand.ts';
import { Terminal } from './terminal.ts';

/** `coffer verify`. Gives the exit status. */
export async function verifyCommand(
  location: string,
  chosen: readonly string[],
  flags: ArchiveFlags & { readonly exclude?: readonly string[] },
  signal: AbortSignal,
): Promise<number> {
  refuseRepeated(chosen);
  using terminal = new Terminal(flags);
  await using backup = await openBackup(
    await systemAtHand(flags.system, (text) => terminal.info(text)),
    location,
    flags,
    signal,
  );
  const { reader, contents } = backup;
  const selected = selectContents(contents, chosen, flags.exclude ?? []);
  terminal.say(describeBackup(backup));
  const begun = Date.now();
  terminal.startProgress(totalSize(selected.qubes, selected.dom0Home));
  const outcomes = await verifyBackup(selected, reader, terminal, signal);
  terminal.endProgress();
  const seconds = (Date.now() - begun) / 1000;
  terminal.say(formatOutcomes(outcomes));
  terminal.say(`Verified: what was read is authentic and whole, ${seconds.toFixed(1)} s.`);
  terminal.result({
    ok: true,
    command: 'verify',
    format: reader.header.format,
    created: contents.created?.toISOString() ?? null,
    qubes: outcomes satisfies Outcome[],
    warnings: terminal.warnings,
    seconds,
  });
  return ExitStatus.done;
}
