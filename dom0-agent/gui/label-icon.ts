import Gtk from 'gi://Gtk?version=3.0';

/** The name of Qubes' icon for a VM: `appvm-red`; undefined if Qubes' icons are not installed. */
export function iconFor(qubeClass: string, label: string): string | undefined {
  const icon = `${qubeClass.toLowerCase()}-${label}`;
  return Gtk.IconTheme.get_default().has_icon(icon) ? icon : undefined;
}
