import GLib from 'gi://GLib?version=2.0';
import Gettext from 'gettext';
import system from 'system';

const DOMAIN = 'coffer';

// In a build directory, the translations are next to the program; when installed, they are in the system's directory.
const beside = GLib.build_filenamev([GLib.path_get_dirname(system.programPath ?? ''), 'locale']);
if (GLib.file_test(beside, GLib.FileTest.IS_DIR)) Gettext.bindtextdomain(DOMAIN, beside);
Gettext.textdomain(DOMAIN);

/** A text in the user's language. */
export const _ = Gettext.gettext;
/** The singular or the plural of a text, by a number. */
export const plural = Gettext.ngettext;

/** A size in bytes, formatted for the user's locale: `1.2 GiB`. */
export function sizeText(bytes: number): string {
  return GLib.format_size_full(bytes, GLib.FormatSizeFlags.IEC_UNITS);
}

/** Puts values into a text: `fill(_('{n} of {all}'), { n: 1, all: 2 })`. */
export function fill(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** A time, which commands give in ISO 8601, in the time zone of this machine: `2026-11-25 14:30`. */
export function timeText(time: string): string {
  // It returns null for an invalid time, but its type does not say so.
  const parsed = GLib.DateTime.new_from_iso8601(time, null) as GLib.DateTime | null;
  return parsed?.to_local()?.format('%F %R') ?? time;
}

/** A duration, in whole seconds, minutes or hours: `3 min`. */
export function durationText(seconds: number): string {
  if (seconds < 90) return fill(_('{n} s'), { n: Math.ceil(seconds) });
  if (seconds < 90 * 60) return fill(_('{n} min'), { n: Math.round(seconds / 60) });
  return fill(_('{n} h'), { n: Math.round(seconds / 3600) });
}
