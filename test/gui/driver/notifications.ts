import Gio from 'gi://Gio?version=2.0';
import GLib from 'gi://GLib?version=2.0';
import type { Notified } from '../seen.ts';

const NAME = 'org.freedesktop.Notifications';
const PATH = '/org/freedesktop/Notifications';
const INTERFACE = `<node><interface name="${NAME}">
  <method name="Notify">
    <arg type="s" direction="in"/><arg type="u" direction="in"/><arg type="s" direction="in"/>
    <arg type="s" direction="in"/><arg type="s" direction="in"/><arg type="as" direction="in"/>
    <arg type="a{sv}" direction="in"/><arg type="i" direction="in"/><arg type="u" direction="out"/>
  </method>
  <signal name="ActionInvoked"><arg type="u"/><arg type="s"/></signal>
  <signal name="NotificationClosed"><arg type="u"/><arg type="u"/></signal>
</interface></node>`;

/** A double of the desktop's notification service. */
export class Notifications {
  #last: (Notified & { readonly id: number; readonly key: string }) | undefined;
  #count = 0;
  readonly #object: Gio.DBusExportedObject;

  constructor() {
    const notify = (...given: [string, number, string, string, string, string[]]): number => {
      const [, , , summary, body, [key = '', action = '']] = given;
      this.#last = { id: ++this.#count, key, summary, body, action };
      return this.#count;
    };
    this.#object = Gio.DBusExportedObject.wrapJSObject(INTERFACE, { Notify: notify });
    this.#object.export(Gio.DBus.session, PATH);
    Gio.bus_own_name_on_connection(Gio.DBus.session, NAME, 0, null, null);
  }

  get last(): Notified | undefined {
    if (this.#last === undefined) return undefined;
    const { summary, body, action } = this.#last;
    return { summary, body, action };
  }

  /** Removes all notifications, as when the program that showed them has ended. */
  forget(): void {
    this.#last = undefined;
  }

  /** Chooses the action of the last notification, as a user does. Returns whether there was one. */
  act(): boolean {
    if (this.#last === undefined) return false;
    const { id, key } = this.#last;
    this.#last = undefined;
    this.#object.emit_signal('ActionInvoked', new GLib.Variant('(us)', [id, key]));
    return true;
  }
}
