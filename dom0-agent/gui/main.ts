import Gtk from 'gi://Gtk?version=3.0';
import system from 'system';
import { BackupWindow } from './back-up-qubes/backup-window.ts';
import { CofferProgram } from './coffer-program.ts';

const application = new Gtk.Application({ applicationId: 'org.qubes_os.CofferBackup' });
application.connect('activate', () => {
  void new BackupWindow(application, new CofferProgram()).show();
});
system.exit(application.run(null));
