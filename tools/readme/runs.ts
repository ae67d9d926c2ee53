// npm run readme: runs the commands of README.md's example on a terminal, and puts there what remains on it.
import { readFileSync, writeFileSync } from 'node:fs';
import { TmuxTerminal } from '../../test/terminal/tmux.ts';

const README = new URL('../../README.md', import.meta.url);
const [BEGIN, END] = ['<!-- Made by npm run readme: -->', '<!-- end -->'];
/** Before `$ coffer …`, one run of a command; `$backup` is the last backup that was made. */
const SCRIPT = `
umask 077
echo 'correct horse battery staple' > passphrase
export COFFER_SYSTEM=my-qubes
run() { echo "$ coffer $*"; coffer "$@" || exit; echo; }
own() { run "$1" -d sys-usb -p passphrase "$2" $3 $4 $5 $6 $7 $8; }
last() { backup=backups/$(ls my-qubes/homes/sys-usb/backups | tail -n 1); }
run sandbox my-qubes
own backup -y backups work vault dev-box dom0
echo 'a note of today' >> my-qubes/dom0-home/user/notes
own backup -y backups work vault dev-box dom0
last
own list backups
own list $backup
own verify $backup
own restore -y --rename-conflicting $backup work`;

await using terminal = TmuxTerminal.run(SCRIPT, { columns: 130, rows: 50 });
const status = await terminal.ended();
if (status !== 0) throw new Error(`a command failed:\n${terminal.shown}`);
const [runs = ''] = terminal.shown.split('\nENDED');
const lines = runs.trimEnd().replaceAll(terminal.directory, '/home/user').split('\n');
const block = lines.map((line) => (line === '' ? '' : `    ${line}`)).join('\n');
const readme = readFileSync(README, 'utf8');
const [before, after] = [readme.indexOf(BEGIN), readme.indexOf(END)];
if (before < 0 || after < before) throw new Error(`README.md has no place for it: ${BEGIN}`);
writeFileSync(README, `${readme.slice(0, before)}${BEGIN}\n\n${block}\n\n${readme.slice(after)}`);
