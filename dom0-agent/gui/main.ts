import Gio from 'gi://Gio?version=2.0';
import Gtk from 'gi://Gtk?version=3.0';
import system from 'system';
import { BackupWindow } from './back-up-qubes/backup-window.ts';
import { CofferProgram } from './coffer-program.ts';
import { RestoreWindow } from './restore-qubes/restore-window.ts';
import { wantsDueBackup } from './watch/due-backups.ts';
import { FailureWindow } from './watch/failure-window.ts';
import { Watch } from './watch/watch.ts';

const [name = 'backup', profile = ''] = system.programArgs;
const openings = new Map([
  ['backup', openWindow((application) => new BackupWindow(application, new CofferProgram()))],
  ['restore', openWindow((application) => new RestoreWindow(application, new CofferProgram()))],
  ['failure', openWindow((application) => new FailureWindow(application, profile, start))],
  ['notify', notify],
  ['watch', watch()],
]);
const open = openings.get(name);
if (open === undefined) {
  printerr('coffer-gui: use `coffer-gui backup`, `restore`, `notify` or `watch`');
  system.exit(2);
} else {
  // There can be a window for each failure; of the others, there is one at a time.
  const { NON_UNIQUE, FLAGS_NONE } = Gio.ApplicationFlags;
  const application = new Gtk.Application({
    ...{ applicationId: `org.qubes_os.coffer.${name}` },
    flags: name === 'failure' ? NON_UNIQUE : FLAGS_NONE,
  });
  application.connect('startup', () => {
    // Sentences are labels that can be copied, but they should not be selected when they get the focus.
    const settings = Gtk.Settings.get_default();
    if (settings !== null) settings.gtk_label_select_on_focus = false;
  });
  application.connect('activate', () => open(application));
  system.exit(application.run(null));
}

/** Opens a window, or shows the one that is open. */
function openWindow(
  make: (application: Gtk.Application) => { show(): Promise<void> },
): (application: Gtk.Application) => void {
  return (application) => {
    const shown = application.get_windows()[0];
    if (shown !== undefined) shown.present();
    else void make(application).show();
  };
}

/** Starts coffer-gui with these arguments: each window is a process of its own, and may already be open. */
function start(words: readonly string[]): void {
  Gio.Subprocess.new([system.programPath ?? 'coffer-gui', ...words], Gio.SubprocessFlags.NONE);
}

/** Shows a notification if a backup is due, and ends when it is closed. */
function notify(application: Gtk.Application): void {
  application.hold();
  void wantsDueBackup(new CofferProgram())
    .then((wants) => {
      if (wants) start(['backup']);
    })
    .catch((error: unknown) => printerr(`coffer-gui: ${String(error)}`))
    .finally(() => application.release());
}

/** Runs for as long as the session; there is one at a time. */
function watch(): (application: Gtk.Application) => void {
  let isStarted = false;
  return (application) => {
    if (!isStarted) new Watch(new CofferProgram(), start).start(application);
    isStarted = true;
  };
}
