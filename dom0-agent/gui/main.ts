import Gtk from 'gi://Gtk?version=3.0';
import system from 'system';
import { BackupWindow } from './back-up-qubes/backup-window.ts';
import { CofferProgram } from './coffer-program.ts';
import { RestoreWindow } from './restore-qubes/restore-window.ts';

const windows = new Map<string, typeof BackupWindow | typeof RestoreWindow>([
  ['backup', BackupWindow],
  ['restore', RestoreWindow],
]);
const [name = 'backup'] = system.programArgs;
const Window = windows.get(name);
if (Window === undefined) {
  printerr('coffer-gui: say `coffer-gui backup` or `coffer-gui restore`');
  system.exit(2);
} else {
  const application = new Gtk.Application({ applicationId: `org.qubes_os.coffer.${name}` });
  application.connect('startup', () => {
    // Sentences can be copied; they are not selected because the focus comes by.
    const settings = Gtk.Settings.get_default();
    if (settings !== null) settings.gtk_label_select_on_focus = false;
  });
  application.connect('activate', () => {
    const open = application.get_windows()[0];
    if (open !== undefined) open.present();
    else void new Window(application, new CofferProgram()).show();
  });
  system.exit(application.run(null));
}
