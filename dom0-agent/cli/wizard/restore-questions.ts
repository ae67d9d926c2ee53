import { CofferError, InterruptedError, RefusedError } from '../../../shared/errors.ts';
import { formatSize } from '../../../shared/sizes.ts';
import { type BackupContents, sizeOfDom0 } from '../../qubes/backup-contents.ts';
import { openChosenBackup } from '../choose-backup.ts';
import { CommandReport } from '../command-report.ts';
import { showNotice } from '../output.ts';
import { describeBackup, usableContents } from '../open-backup.ts';
import type { OpenedSystem } from '../open-system.ts';
import { giveAhead } from '../passphrase-ahead.ts';
import { askPassphrase } from '../questions.ts';
import { BACK, type Back, askInOrder } from './in-order.ts';
import { type Place, askPlace } from './place.ts';
import { chooseSeveral } from './prompts.ts';
import { operands, wordsFor } from './words.ts';

interface Answers {
  readonly place?: Place;
  readonly contents?: BackupContents | undefined;
  /** Undefined: all VMs in the backup. */
  readonly qubes?: readonly string[] | undefined;
  readonly options?: readonly string[];
}

/** Asks what `coffer restore` needs to know; returns its arguments. */
export async function askForRestore(
  opened: OpenedSystem,
  signal: AbortSignal,
): Promise<string[] | Back> {
  const answers = await askInOrder<Answers>(
    [
      async (known) => {
        const place = await askPlace('read', opened, signal);
        return place === BACK ? BACK : { ...known, place };
      },
      (known) => lookInto(known, opened, signal),
      (known) => askQubes(known, signal),
      (known) => askOptions(known, signal),
    ],
    {},
  );
  if (answers === BACK || answers.place === undefined) return BACK;
  const { place, options = [], qubes = [] } = answers;
  return ['restore', ...wordsFor(place), ...options, ...operands(place.location, qubes)];
}

/**
 * Asks for the passphrase until the backup can be opened, to find out what is in it; an empty passphrase leads back. If
 * the place is a command, the backup is not opened: the command may not work twice.
 */
async function lookInto(
  known: Answers,
  opened: OpenedSystem,
  signal: AbortSignal,
): Promise<Answers | Back> {
  const { place } = known;
  if (place === undefined || place.isCommand === true) return known;
  for (;;) {
    const passphrase = await askPassphrase(undefined, signal).catch(backIfNone);
    if (passphrase === BACK) return BACK;
    try {
      // A copy, because opening a backup wipes the passphrase.
      giveAhead(Buffer.from(passphrase));
      const contents = await contentsAt(place, opened, signal);
      giveAhead(passphrase);
      return { ...known, contents };
    } catch (error) {
      passphrase.fill(0);
      if (error instanceof InterruptedError || !(error instanceof CofferError)) throw error;
      showNotice(`${error.message}.\nTry again, or press Enter to name another place.`);
    }
  }
}

/** An empty passphrase is refused; here, it means that the user wants to go back. */
function backIfNone(error: unknown): Back {
  if (error instanceof RefusedError) return BACK;
  throw error;
}

async function contentsAt(
  { vm, through, location }: Place,
  opened: OpenedSystem,
  signal: AbortSignal,
): Promise<BackupContents> {
  using report = new CommandReport({ quiet: true });
  const flags = {
    ...(vm === undefined ? {} : { destVm: vm }),
    ...(through === undefined ? {} : { through }),
  };
  await using backup = await openChosenBackup(opened, location, flags, report, signal);
  showNotice(describeBackup(backup));
  return await usableContents(backup);
}

async function askQubes(known: Answers, signal: AbortSignal): Promise<Answers | undefined | Back> {
  const { contents } = known;
  if (contents === undefined) return undefined;
  const { qubes } = contents;
  const size = sizeOfDom0(contents);
  const home = size === undefined ? [] : [{ name: 'dom0', what: 'files of dom0', size }];
  const all = [
    ...qubes.map(({ qube, size }) => ({ name: qube.name, what: qube.qubeClass, size })),
    ...home,
  ];
  const chosen = await chooseSeveral(
    'Which VMs?',
    all.map(({ name, what, size }) => ({
      ...{ name: `${name}  ${formatSize(size)}`, value: name },
      ...{ isChosen: true, description: what },
    })),
    true,
    signal,
  );
  if (chosen === BACK) return BACK;
  return { ...known, qubes: chosen.length === all.length ? undefined : chosen };
}

const OPTIONS = [
  {
    value: '--rename-conflicting',
    name: 'rename VMs whose name is taken',
    description: 'Otherwise they are refused. Nothing that exists is ever changed.',
  },
  {
    value: '--ignore-missing',
    name: 'use defaults for what is missing',
    description: 'For a template, net qube or disposable template that is not on this system.',
  },
  {
    value: '--ignore-username-mismatch',
    name: "restore dom0's home even if its user had another name",
    description: 'Otherwise a home whose user has another name here is refused.',
  },
  {
    value: '--skip-dom0-home',
    name: "leave out dom0's home",
    description: "It would go to a new directory in the home of dom0's user.",
  },
  {
    value: '--distrust-settings',
    name: 'distrust the settings in the backup',
    description: 'For a backup from a system that may have been compromised.',
  },
];

async function askOptions(known: Answers, signal: AbortSignal): Promise<Answers | Back> {
  const options = await chooseSeveral('Any of these?', OPTIONS, false, signal);
  return options === BACK ? BACK : { ...known, options };
}
