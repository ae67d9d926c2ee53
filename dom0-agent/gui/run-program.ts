import Gio from 'gi://Gio?version=2.0';
import { _, fill } from './texts.ts';

Gio._promisify(Gio.Subprocess.prototype, 'communicate_utf8_async', 'communicate_utf8_finish');

/**
 * Runs a program of the desktop, other than coffer, and returns its standard output. Throws an Error with its standard
 * error if it fails, and GLib.Error if it cannot be started.
 */
export async function runProgram(words: readonly string[]): Promise<string> {
  const { STDOUT_PIPE, STDERR_PIPE } = Gio.SubprocessFlags;
  const process = Gio.Subprocess.new([...words], STDOUT_PIPE | STDERR_PIPE);
  const [stdout, stderr] = await process.communicate_utf8_async(null, null);
  if (process.get_successful()) return stdout;
  const said = stderr.trim();
  throw new Error(said === '' ? fill(_('{program} failed.'), { program: words[0] ?? '' }) : said);
}
