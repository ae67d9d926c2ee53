import GLib from 'gi://GLib?version=2.0';
import Gettext from 'gettext';
import system from 'system';

const DOMAIN = 'coffer';

// Where it was just built, the translations lie beside it; installed, they are where the system has those of all programs.
const beside = GLib.build_filenamev([GLib.path_get_dirname(system.programPath ?? ''), 'locale']);
if (GLib.file_test(beside, GLib.FileTest.IS_DIR)) Gettext.bindtextdomain(DOMAIN, beside);
Gettext.textdomain(DOMAIN);

/** A text in the user's language. */
export const _ = Gettext.gettext;
/** One of two texts, by a number. */
export const plural = Gettext.ngettext;

/** `1.2 GiB`: the sizes that the commands print, in the user's digits. */
export function sizeText(bytes: number): string {
  return GLib.format_size_full(bytes, GLib.FormatSizeFlags.IEC_UNITS);
}

/** Puts values into a text: `fill(_('{n} of {all}'), { n: 1, all: 2 })`. */
export function fill(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** `2026-11-25 14:30`, in the time zone of this machine, of a time as the commands tell it. */
export function timeText(time: string): string {
  // Its types do not say that it may fail.
  const parsed = GLib.DateTime.new_from_iso8601(time, null) as GLib.DateTime | null;
  return parsed?.to_local()?.format('%F %R') ?? time;
}

/** `3 min`: a duration in whole seconds, minutes or hours. */
export function durationText(seconds: number): string {
  if (seconds < 90) return fill(_('{n} s'), { n: Math.ceil(seconds) });
  if (seconds < 90 * 60) return fill(_('{n} min'), { n: Math.round(seconds / 60) });
  return fill(_('{n} h'), { n: Math.round(seconds / 3600) });
}
