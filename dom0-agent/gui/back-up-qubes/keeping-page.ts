import GLib from 'gi://GLib?version=2.0';
import Gtk from 'gi://Gtk?version=3.0';
import { Form, sentenceLabel } from '../form.ts';
import { _, fill, plural, sizeText, timeText } from '../texts.ts';
import type { PruneEffect } from '../coffer-events.ts';
import type { Frame, Page } from '../wizard.ts';
import { RULES, type Rules, offeredRules, optionsOf, ruleLabel } from './keeping-rules.ts';

/** How long the rules must not have changed before the preview is updated, in ms. */
const PAUSE = 400;
/** The id of the choice of custom rules. */
const CUSTOM = 'custom';

/** Which backups to keep: rules, and a preview of what they would delete. */
export class KeepingPage implements Page {
  readonly title = _('Which backups do you want to keep?');
  readonly next = _('_Forget the others');
  readonly widget = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 12 });
  readonly #frame: Frame;
  readonly #look: (options: readonly string[]) => Promise<PruneEffect>;
  readonly #choice = new Gtk.ComboBoxText({ hexpand: true });
  readonly #counts = new Map<keyof Rules, Gtk.SpinButton>();
  /** What is only shown for custom rules. */
  readonly #ownRules: Gtk.Widget[] = [];
  readonly #preview = sentenceLabel();
  #seen: PruneEffect | undefined;
  #failure = '';
  /** Counts the changes, so that an answer about earlier rules can be ignored. */
  #turn = 0;

  /** @param look returns what would be deleted by rules, and changes nothing */
  constructor(frame: Frame, look: (options: readonly string[]) => Promise<PruneEffect>) {
    this.#frame = frame;
    this.#look = look;
    const form = new Form();
    for (const [index, { text }] of offeredRules().entries()) this.#choice.append(`${index}`, text);
    this.#choice.append(CUSTOM, _('custom: see below'));
    form.field(_('_Keep'), this.#choice);
    for (const rule of RULES) {
      const count = Gtk.SpinButton.new_with_range(0, 999, 1);
      this.#counts.set(rule, count);
      for (const each of [count, form.field(ruleLabel(rule), count)]) {
        each.noShowAll = true;
        this.#ownRules.push(each);
      }
      count.connect('value-changed', () => this.#changed());
    }
    const scrolled = new Gtk.ScrolledWindow({ expand: true });
    this.#preview.valign = Gtk.Align.START;
    scrolled.add(this.#preview);
    this.widget.add(form.widget);
    this.widget.add(scrolled);
    this.#choice.connect('changed', () => this.#choose());
    this.#choice.active = 1;
  }

  /** The options of `coffer prune`. */
  get options(): string[] {
    const countOf = (rule: keyof Rules): number => this.#counts.get(rule)?.get_value_as_int() ?? 0;
    const [last, daily, weekly] = [countOf('last'), countOf('daily'), countOf('weekly')];
    return optionsOf({
      last,
      daily,
      weekly,
      monthly: countOf('monthly'),
      yearly: countOf('yearly'),
    });
  }

  /** Whether a plan would delete the same as the one that the page shows. */
  shows(plan: PruneEffect): boolean {
    return this.#seen !== undefined && forgotten(plan).join() === forgotten(this.#seen).join();
  }

  missing(): string | undefined {
    if (this.options.length === 0) return _('Nothing would be kept: choose some.');
    if (this.#failure !== '') return _('Nothing can be forgotten there: see above.');
    if (this.#seen === undefined) return _('Working out what these rules would delete …');
    return forgotten(this.#seen).length === 0 ? _('There is nothing to forget.') : undefined;
  }

  #choose(): void {
    const chosen = this.#choice.get_active_id() ?? CUSTOM;
    const rules = chosen === CUSTOM ? undefined : offeredRules()[Number(chosen)]?.rules;
    for (const each of this.#ownRules) each.visible = rules === undefined;
    for (const [rule, count] of this.#counts) {
      if (rules !== undefined) count.value = rules[rule];
    }
    this.#changed();
  }

  #changed(): void {
    const turn = ++this.#turn;
    this.#seen = undefined;
    this.#failure = '';
    this.#frame.refresh();
    GLib.timeout_add(GLib.PRIORITY_DEFAULT, PAUSE, () => {
      if (turn === this.#turn && this.options.length > 0) void this.#lookAtRules(turn);
      return GLib.SOURCE_REMOVE;
    });
  }

  async #lookAtRules(turn: number): Promise<void> {
    let preview = '';
    try {
      const plan = await this.#look(this.options);
      if (turn !== this.#turn) return;
      this.#seen = plan;
      preview = forgettingSentences(plan).join('\n');
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#failure = preview = error instanceof Error ? error.message : String(error);
    }
    this.#preview.label = preview;
    this.#frame.refresh();
  }
}

/** The names of the backups that no rule keeps. */
function forgotten({ backups }: PruneEffect): string[] {
  return backups.flatMap(({ name, keptBy }) => (keptBy.length === 0 ? [name] : []));
}

/** What is deleted, and how much that frees. */
export function forgettingSentences({ backups, bytesDeleted, bytesCopied }: PruneEffect): string[] {
  const going = backups.filter(({ keptBy }) => keptBy.length === 0);
  if (going.length === 0) return [keptSentence(backups.length)];
  const count = plural(
    '{n} of {all} backups is deleted, which frees {size}:',
    '{n} of {all} backups are deleted, which frees {size}:',
    going.length,
  );
  const size = sizeText(Math.max(0, bytesDeleted - bytesCopied));
  return [
    fill(count, { n: going.length, all: backups.length, size }),
    ...going.map(({ created }) => timeText(created)),
    ...(bytesCopied === 0
      ? []
      : [
          fill(_('Other backups still need {size} of it, which is copied first.'), {
            size: sizeText(bytesCopied),
          }),
        ]),
  ];
}

function keptSentence(count: number): string {
  return fill(plural('{n} backup, which is kept.', '{n} backups, all of which are kept.', count), {
    n: count,
  });
}
