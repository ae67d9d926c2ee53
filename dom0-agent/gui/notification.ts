import Gio from 'gi://Gio?version=2.0';
import GLib from 'gi://GLib?version=2.0';

/** The interface described in https://specifications.freedesktop.org/notification-spec/ */
const NAME = 'org.freedesktop.Notifications';
const PATH = '/org/freedesktop/Notifications';
/** The id of the action; its label is for people. */
const ACTION = 'act';
/** The timeout in ms: the notification stays until it is closed. */
const NEVER = 0;

/**
 * Shows a notification with an action. When it is closed, resolves with whether the user chose the action. Throws
 * GLib.Error if there is no desktop that shows notifications.
 *
 * @param body plain text
 * @param action the label of the action
 */
export async function isActedOn(summary: string, body: string, action: string): Promise<boolean> {
  const bus = Gio.DBus.session;
  return new Promise((resolve, reject) => {
    let own: number | undefined;
    const { NONE } = Gio.DBusSignalFlags;
    const hear = (signal: string, parameters: GLib.Variant): void => {
      const [id] = parameters.deepUnpack<[number, unknown]>();
      if (id !== own || !['ActionInvoked', 'NotificationClosed'].includes(signal)) return;
      bus.signal_unsubscribe(subscription);
      resolve(signal === 'ActionInvoked');
    };
    const subscription = bus.signal_subscribe(
      ...([NAME, NAME, null, PATH, null, NONE] as const),
      (_bus, _sender, _path, _interface, signal, parameters) => hear(signal, parameters),
    );
    const text = GLib.markup_escape_text(body, -1);
    // prettier-ignore
    const notification = new GLib.Variant('(susssasa{sv}i)', [
      'coffer', 0, 'qubes-coffer', summary, text, [ACTION, action], {}, NEVER,
    ]);
    const { NONE: NO_FLAGS } = Gio.DBusCallFlags;
    bus.call(
      ...([NAME, PATH, NAME, 'Notify', notification, null, NO_FLAGS, -1, null] as const),
      (_bus, result) => {
        try {
          [own] = bus.call_finish(result).deepUnpack<[number]>();
        } catch (error) {
          bus.signal_unsubscribe(subscription);
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      },
    );
  });
}
