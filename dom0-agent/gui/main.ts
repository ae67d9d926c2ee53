import Gtk from 'gi://Gtk?version=3.0';
import system from 'system';
import gettext from 'gettext';
const application = new Gtk.Application({ applicationId: 'org.qubes_os.coffer' });
application.connect('activate', () => {
  const window = new Gtk.ApplicationWindow({ application, title: gettext.gettext('Back Up Qubes') });
  window.show_all();
});
system.exit(application.run(null));
