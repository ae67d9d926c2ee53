import Gio from 'gi://Gio?version=2.0';
import { _, fill } from './texts.ts';

Gio._promisify(Gio.Subprocess.prototype, 'communicate_utf8_async', 'communicate_utf8_finish');

/** Runs a program of the desktop, other than coffer. Throws an Error with what it said when it fails, or is not there. */
export async function runProgram(words: readonly string[]): Promise<void> {
  const { STDOUT_SILENCE, STDERR_PIPE } = Gio.SubprocessFlags;
  const process = Gio.Subprocess.new([...words], STDOUT_SILENCE | STDERR_PIPE);
  const [, stderr] = await process.communicate_utf8_async(null, null);
  if (process.get_successful()) return;
  const said = stderr.trim();
  throw new Error(said === '' ? fill(_('{program} failed.'), { program: words[0] ?? '' }) : said);
}
