import Gio from 'gi://Gio?version=2.0';
import GLib from 'gi://GLib?version=2.0';
import { collectGarbage } from '../collect-garbage.ts';

Gio._promisify(Gio.SocketClient.prototype, 'connect_async', 'connect_finish');
Gio._promisify(Gio.InputStream.prototype, 'read_bytes_async', 'read_bytes_finish');

/** Where qubesd listens, as in `admin-api.ts`. */
const SOCKET = '/var/run/qubesd.sock';
/** Asks for the events of all VMs: https://www.qubes-os.org/doc/admin-api/ (admin.Events). */
const REQUEST = 'admin.Events+ dom0 name dom0\0';
/** The names of events about block devices that come, go or are attached to a VM: `device-list-change:block`. */
const OF_DEVICES = /^device-[a-z-]+:block$/;
/** How many bytes are read at a time. */
const PIECE = 4096;
/** Seconds before the next attempt when the connection is lost: qubesd may be restarting. */
const PAUSE = 60;

/**
 * Calls `changed` whenever qubesd reports an event about a block device, for as long as this program runs. This only
 * tells when to ask coffer for the devices again.
 */
export async function followDevices(changed: () => void): Promise<never> {
  for (;;) {
    try {
      for await (const name of eventNames()) if (OF_DEVICES.test(name)) changed();
    } catch (error) {
      // qubesd is not running, or this is not dom0.
      if (!(error instanceof GLib.Error)) throw error;
    }
    await pause();
  }
}

/** The names of qubesd's events, until it closes the connection. Throws GLib.Error. */
async function* eventNames(): AsyncGenerator<string, void, undefined> {
  const path = GLib.getenv('COFFER_QUBESD_SOCKET') ?? SOCKET;
  const address = Gio.UnixSocketAddress.new(path);
  const connection = await new Gio.SocketClient().connect_async(address, null);
  connection.get_output_stream().write_all(new TextEncoder().encode(REQUEST), null);
  // This ends the request; the reply has no end.
  connection.get_socket().shutdown(false, true);
  // An event: `1`, the subject, the name, then keys and values, up to an empty key.
  let event: string[] = [];
  for await (const word of wordsOf(connection.get_input_stream())) {
    event.push(word);
    if (event.length < 4 || event.length % 2 !== 0 || word !== '') continue;
    yield event[2] ?? '';
    event = [];
  }
}

/** The strings in a stream, each of which ends with a NUL. */
async function* wordsOf(stream: Gio.InputStream): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const piece = await stream.read_bytes_async(PIECE, GLib.PRIORITY_LOW, null);
    if (piece.get_size() === 0) return;
    // This may break a character at the end of a piece: only in a value, which is not used, as names are ASCII.
    const words = (rest + decoder.decode(piece.toArray())).split('\0');
    rest = words.pop() ?? '';
    yield* words;
    collectGarbage(piece.get_size());
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => {
    GLib.timeout_add_seconds(GLib.PRIORITY_LOW, PAUSE, () => {
      resolve();
      return GLib.SOURCE_REMOVE;
    });
  });
}
