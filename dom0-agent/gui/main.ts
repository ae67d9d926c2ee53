import Gtk from 'gi://Gtk?version=3.0';
import system from 'system';
import { BackupWindow } from './back-up-qubes/backup-window.ts';
import { wantsDueBackup } from './back-up-qubes/due-notification.ts';
import { CofferProgram } from './coffer-program.ts';
import { RestoreWindow } from './restore-qubes/restore-window.ts';
import { runProgram } from './run-program.ts';

const [name = 'backup'] = system.programArgs;
const openings = new Map([
  ['backup', openWindow((application) => new BackupWindow(application, new CofferProgram()))],
  ['restore', openWindow((application) => new RestoreWindow(application, new CofferProgram()))],
  ['notify', notify],
]);
const open = openings.get(name);
if (open === undefined) {
  printerr('coffer-gui: use `coffer-gui backup`, `coffer-gui restore` or `coffer-gui notify`');
  system.exit(2);
} else {
  const application = new Gtk.Application({ applicationId: `org.qubes_os.coffer.${name}` });
  application.connect('startup', () => {
    // Sentences can be copied; they are not selected because the focus comes by.
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

/** Tells of a backup that is due; the window is a program of its own, which there may be already. */
function notify(application: Gtk.Application): void {
  application.hold();
  void wantsDueBackup(new CofferProgram())
    .then((wants) =>
      wants ? runProgram([system.programPath ?? 'coffer-gui', 'backup']) : undefined,
    )
    .catch((error: unknown) => printerr(`coffer-gui: ${String(error)}`))
    .finally(() => application.release());
}
