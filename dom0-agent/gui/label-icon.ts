import Gtk from 'gi://Gtk?version=3.0';

/** The icon of Qubes for a VM: `appvm-red`; undefined where its icons are not installed. */
export function iconFor(qubeClass: string, label: string): string | undefined {
  const icon = `${qubeClass.toLowerCase()}-${label}`;
  return Gtk.IconTheme.get_default().has_icon(icon) ? icon : undefined;
}
