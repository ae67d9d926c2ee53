import { formatSize } from '../../../shared/sizes.ts';
import { expectedBytes } from '../../backup/plan-backup.ts';
import { isBackedUpByDefault } from '../../backup/select-for-backup.ts';
import { type Qube, savedVolumes } from '../../qubes/qube.ts';
import type { OpenedSystem } from '../open-system.ts';
import { giveAhead } from '../passphrase-ahead.ts';
import { askTwice } from '../questions.ts';
import { BACK, type Back, askInOrder } from './in-order.ts';
import { type Place, askPlace } from './place.ts';
import { choose, chooseSeveral } from './prompts.ts';
import { operands, wordsFor } from './words.ts';

interface Answers {
  /** Undefined: the VMs that are backed up by default. */
  readonly qubes?: readonly string[] | undefined;
  readonly place?: Place;
  readonly isEncrypted?: boolean;
}

/** Asks what `coffer backup` needs to know; returns its arguments. */
export async function askForBackup(
  opened: OpenedSystem,
  signal: AbortSignal,
): Promise<string[] | Back> {
  const answers = await askInOrder<Answers>(
    [
      (known) => askQubes(known, opened, signal),
      async (known) => {
        const place = await askPlace('write', opened, signal);
        return place === BACK ? BACK : { ...known, place };
      },
      (known) => askEncryption(known, signal),
      (known) => askNewPassphrase(known, signal),
    ],
    {},
  );
  if (answers === BACK) return BACK;
  const { place, isEncrypted, qubes } = answers;
  if (place === undefined) return BACK;
  const plain = isEncrypted === false ? ['--no-encrypt'] : [];
  return ['backup', ...wordsFor(place), ...plain, ...operands(place.location, qubes ?? [])];
}

async function askQubes(
  known: Answers,
  { system }: OpenedSystem,
  signal: AbortSignal,
): Promise<Answers | Back> {
  const [all, listed] = [await system.qubes(), await system.list()];
  const running = new Set(listed.filter(({ isRunning }) => isRunning).map(({ name }) => name));
  // dom0's home is read as it is.
  running.delete('dom0');
  const chosen = await chooseSeveral(
    'Which VMs?',
    all.map((qube) => ({
      name: `${qube.name}  ${sizeIn(qube)}${running.has(qube.name) ? ', running' : ''}`,
      value: qube.name,
      isChosen: isBackedUpByDefault(qube),
      description: descriptionOf(qube, running.has(qube.name)),
    })),
    true,
    signal,
  );
  if (chosen === BACK) return BACK;
  const byDefault = all.filter(isBackedUpByDefault).map(({ name }) => name);
  const isDefault = chosen.join('\n') === byDefault.join('\n');
  return { ...known, qubes: isDefault ? undefined : chosen };
}

function sizeIn(qube: Qube): string {
  if (qube.qubeClass === 'AdminVM') return 'the home of its user';
  return formatSize(savedVolumes(qube).reduce((sum, volume) => sum + expectedBytes(volume), 0));
}

function descriptionOf({ qubeClass, properties }: Qube, isRunning: boolean): string {
  if (isRunning) {
    return `${qubeClass}. It is running: its last saved state is backed up.`;
  }
  const template = properties.get('template');
  return template === undefined ? qubeClass : `${qubeClass} of ${template}`;
}

async function askEncryption(known: Answers, signal: AbortSignal): Promise<Answers | Back> {
  const isEncrypted = await choose(
    'Encrypt the backup?',
    [
      { name: 'yes', value: true },
      {
        name: 'no, only authenticate it',
        value: false,
        description: 'Anyone who gets hold of it can read it; changes are still detected.',
      },
    ],
    signal,
  );
  return isEncrypted === BACK ? BACK : { ...known, isEncrypted };
}

/** Asks for the passphrase, which is handed over to the command; an empty one leads back. */
async function askNewPassphrase(known: Answers, signal: AbortSignal): Promise<Answers | Back> {
  const passphrase = await askTwice(signal);
  if (passphrase.length === 0) return BACK;
  giveAhead(passphrase);
  return known;
}
