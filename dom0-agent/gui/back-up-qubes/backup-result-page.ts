import type Gtk from 'gi://Gtk?version=3.0';
import { isOnDisk } from '../disk-paths.ts';
import type { Device } from '../place-choices.ts';
import { type Action, ResultPage, type Verdict } from '../result-page.ts';
import { _, fill, plural, sizeText } from '../texts.ts';
import type { BackupResult } from '../coffer-events.ts';

/** What the user can do after a backup: verify it, try some VMs again, forget older backups, or unmount the disk. */
export type NextStep =
  | { readonly step: 'verify' | 'keep' | 'unmount' }
  | { readonly step: 'again'; readonly names: readonly string[] };

/**
 * The page with the result of a backup.
 *
 * @param device the removable device that the backup is on, if it is on one
 * @param goOn called with what the user chose
 * @param more another widget, such as the countdown to turning off the computer
 */
export function backupResultPage(
  result: BackupResult,
  device: Device | undefined,
  goOn: (next: NextStep) => void,
  more?: Gtk.Widget,
): ResultPage {
  const { ok, checked, path, qubes, warnings } = result;
  const failed = qubes.filter((qube) => qube.result === 'failed').map(({ name }) => name);
  const verdict: Verdict = !ok ? 'bad' : checked ? 'good' : 'done';
  const action = (label: string, next: NextStep): Action => ({ label, pressed: () => goOn(next) });
  const actions = [
    ...(failed.length === 0
      ? []
      : [action(_('_Try these again'), { step: 'again', names: failed })]),
    ...(path === null
      ? []
      : [
          action(_('_Verify now'), { step: 'verify' }),
          action(_('F_orget old backups…'), { step: 'keep' }),
        ]),
    ...(device?.vm === 'dom0' ? [action(_('_Unmount the disk'), { step: 'unmount' })] : []),
  ];
  const title = ok ? _('The backup is complete') : _('The backup is not complete');
  const sentences = [
    ...missingSentences(qubes),
    ...placeSentences(result),
    ...(result.card === null
      ? []
      : [fill(_('Keep this with the passphrase: {card}'), { card: result.card })]),
    ...warnings,
    ...unmountSentences(result, device),
  ];
  return new ResultPage(title, verdict, sentences, actions, more);
}

/** Advice about a disk that only its qube can unmount: coffer can only have a qube store files. */
function unmountSentences({ vm, path }: BackupResult, device: Device | undefined): string[] {
  const isOfQube = device === undefined ? isOnDisk(path ?? '') : device.directory === undefined;
  if (vm === 'dom0' || !isOfQube) return [];
  return [fill(_('Unmount the disk in {qube} before you unplug it.'), { qube: vm })];
}

function missingSentences(qubes: BackupResult['qubes']): string[] {
  const failed = qubes.filter(({ result }) => result === 'failed');
  if (failed.length === 0) return [];
  const count = plural(
    '{n} of {all} qubes is not in this backup:',
    '{n} of {all} qubes are not in this backup:',
    failed.length,
  );
  return [
    fill(count, { n: failed.length, all: qubes.length }),
    ...failed.map(({ name, failure }) => `${name}: ${failure ?? ''}`),
  ];
}

function placeSentences({
  location,
  bytes,
  dataFiles,
  checked,
  ...changes
}: BackupResult): string[] {
  const all = dataFiles.reduce((sum, file) => sum + file.bytes, bytes);
  return [
    fill(_('It is in {location}, {size}.'), { location, size: sizeText(all) }),
    ...changeSentences(changes),
    checked
      ? _('The backup was read back and checked.')
      : _('The backup has not been read back yet: verify it before you rely on it.'),
  ];
}

/** What is new in a backup that continues from others. */
function changeSentences({
  changedVms,
  newBytes,
  knownBytes,
}: Pick<BackupResult, 'changedVms' | 'newBytes' | 'knownBytes'>): string[] {
  if (changedVms === null || newBytes === null || knownBytes === null) return [];
  const sentence = plural(
    '{n} qube changed: {new} of its data is new, {known} was already there.',
    '{n} qubes changed: {new} of their data is new, {known} was already there.',
    changedVms,
  );
  return [fill(sentence, { n: changedVms, new: sizeText(newBytes), known: sizeText(knownBytes) })];
}
