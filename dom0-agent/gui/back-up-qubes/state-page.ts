import Gtk from 'gi://Gtk?version=3.0';
import { sentenceLabel } from '../form.ts';
import { QubeList, type QubeRow } from '../qube-list.ts';
import { _, fill, plural, timeText } from '../texts.ts';
import type { StatusOfQube, StatusResult } from '../coffer-events.ts';
import type { Frame, Page } from '../wizard.ts';
import type { Place } from '../place-fields.ts';
import type { Settings } from './saved-settings.ts';

/** The first page: what is backed up, and what is not. */
export class StatePage implements Page {
  readonly title = _('Your backups');
  readonly isFirst = true;
  readonly next = _('C_hoose…');
  readonly widget = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 6 });
  readonly #sameWidth = new Gtk.SizeGroup({ mode: Gtk.SizeGroupMode.HORIZONTAL });

  /** What the user wants to do: choose, repeat the last choice, continue other backups, or forget old ones. */
  wish: 'choose' | 'repeat' | 'continue' | 'forget' = 'choose';

  /**
   * @param last the settings of the last time
   * @param opened the place of the backups that the user has just opened
   */
  constructor(
    frame: Frame,
    status: StatusResult,
    last: Settings | undefined,
    opened: Place | undefined,
  ) {
    this.widget.add(new Gtk.Label({ label: summaryOf(status), xalign: 0, wrap: true }));
    for (const warning of status.warnings) this.widget.add(sentenceLabel(warning));
    if (opened !== undefined) this.widget.add(sentenceLabel(openedSentence(opened)));
    if (last !== undefined) this.widget.add(this.#repetition(frame, last));
    this.widget.add(this.#continuation(frame));
    if (status.series.length > 0) this.widget.add(this.#forgetting(frame));
    const list = new QubeList(_('Qubes and their last backups'));
    list.show(rowsOf(status));
    this.widget.add(list.widget);
  }

  /** A button, and next to it what it does. */
  #repetition(frame: Frame, last: Settings): Gtk.Box {
    const now = this.#button(frame, _('Back up _now'), 'repeat');
    return this.#beside(now, fill(_('as last time, to {where}'), { where: placeText(last) }));
  }

  #continuation(frame: Frame): Gtk.Box {
    const button = this.#button(frame, _('Contin_ue other backups…'), 'continue');
    const words = _('that dom0 does not know, for example because it was reinstalled');
    return this.#beside(button, words);
  }

  #forgetting(frame: Frame): Gtk.Box {
    const button = this.#button(frame, _('F_orget old backups…'), 'forget');
    return this.#beside(button, _('by rules, after you have seen which'));
  }

  #beside(button: Gtk.Button, words: string): Gtk.Box {
    const box = new Gtk.Box({ spacing: 12 });
    this.#sameWidth.add_widget(button);
    box.add(button);
    box.add(sentenceLabel(words));
    return box;
  }

  #button(frame: Frame, label: string, wish: StatePage['wish']): Gtk.Button {
    const button = new Gtk.Button({ label, useUnderline: true, halign: Gtk.Align.START });
    button.connect('clicked', () => {
      this.wish = wish;
      frame.goOn();
    });
    return button;
  }
}

function openedSentence(place: Place): string {
  const sentence = _(
    'dom0 knows the backups in {where} now: the next backup there continues them.',
  );
  return fill(sentence, { where: placeText(place) });
}

function placeText({ vm, location, isCommand, through }: Place): string {
  if (isCommand) return fill(_('the command in {qube}'), { qube: vm });
  return through === ''
    ? `${vm}:${location}`
    : fill(_('{place}, where {command} leads'), { place: `${vm}:${location}`, command: through });
}

/** All VMs of this system, with the times of their last backups. */
export function rowsOf({ qubes, excluded }: StatusResult): QubeRow[] {
  return [
    ...qubes.map((qube) => ({ ...qube, last: lastOf(qube), lastTime: qube.created ?? '' })),
    ...excluded.map((qube) => ({
      ...qube,
      last: _('not included in backups'),
      lastTime: '',
    })),
  ];
}

function lastOf({ state, created }: StatusOfQube): string {
  if (created === null) return _('never');
  const time = timeText(created);
  if (state === 'due') return fill(_('{time} (due)'), { time });
  return state === 'damaged' ? fill(_('{time} (damaged)'), { time }) : time;
}

/** The state of all backups, in sentences. */
export function summaryOf({ qubes }: StatusResult): string {
  const last = qubes
    .filter(({ created }) => created !== null)
    .sort((one, other) => (other.created ?? '').localeCompare(one.created ?? ''))[0];
  return [
    last === undefined ? _('Nothing has been backed up yet.') : lastBackup(last),
    countOf(qubes, 'never', (n) =>
      plural('{n} qube is in no backup.', '{n} qubes are in no backup.', n),
    ),
    countOf(qubes, 'due', (n) => plural('{n} qube is overdue.', '{n} qubes are overdue.', n)),
    countOf(qubes, 'damaged', (n) =>
      plural(
        'The last backup of {n} qube is damaged.',
        'The last backup of {n} qubes is damaged.',
        n,
      ),
    ),
  ]
    .filter((sentence) => sentence !== '')
    .join(' ');
}

function lastBackup({ created, location, check }: StatusOfQube): string {
  const time = timeText(created ?? '');
  const where = location ?? _('an unknown place');
  return check === null
    ? fill(_('The last backup was made {time}, to {where}; it has not been checked since.'), {
        time,
        where,
      })
    : fill(_('The last backup was made {time}, to {where}; it was checked {checked}.'), {
        ...{ time, where, checked: timeText(check.at) },
      });
}

function countOf(
  qubes: readonly StatusOfQube[],
  state: StatusOfQube['state'],
  sentence: (n: number) => string,
): string {
  const n = qubes.filter((qube) => qube.state === state).length;
  return n === 0 ? '' : fill(sentence(n), { n });
}
