import GLib from 'gi://GLib?version=2.0';
import Gettext from 'gettext';

const DOMAIN = 'coffer';

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
