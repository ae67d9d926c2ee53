// npm run readme: runs the commands of the example in README.md on a terminal, and writes what remains on it there.
import { readFileSync, writeFileSync } from 'node:fs';
import { TmuxTerminal } from '../../test/terminal/tmux.ts';

const README = new URL('../../README.md', import.meta.url);
const [BEGIN, END] = ['<!-- Made by npm run readme: -->', '<!-- end -->'];
/** Shows each command on a line, and then runs it. */
const SCRIPT = `
if [ -e /tmp/my-qubes ]; then echo '/tmp/my-qubes is in the way'; exit 1; fi
trap 'rm -rf /tmp/my-qubes' EXIT
umask 077
echo 'correct horse battery staple' > passphrase
export COFFER_SYSTEM=/tmp/my-qubes
run() { echo "$ coffer $*"; coffer "$@" || exit; echo; }
own() { command=$1; shift; run "$command" -d sys-usb -p passphrase "$@"; }
run sandbox /tmp/my-qubes
own backup -y backups work vault dev-box dom0
echo 'a note of today' >> /tmp/my-qubes/dom0-home/user/notes
own backup -y backups work vault dev-box dom0
backup=backups/$(ls /tmp/my-qubes/homes/sys-usb/backups | tail -n 1)
own list backups
own list "$backup"
own verify "$backup"
own restore -y --rename-conflicting "$backup" work
rm -r /tmp/my-qubes`;

await using terminal = TmuxTerminal.run(SCRIPT, { columns: 130, rows: 50 });
const status = await terminal.ended(600_000);
if (status !== 0) throw new Error(`a command failed:\n${terminal.shown}`);
const [runs = ''] = terminal.shown.split('\nENDED');
const lines = runs.trimEnd().split('\n');
const block = lines.map((line) => (line === '' ? '' : `    ${line}`)).join('\n');
const readme = readFileSync(README, 'utf8');
const [before, after] = [readme.indexOf(BEGIN), readme.indexOf(END)];
if (before < 0 || after < before) throw new Error(`README.md has no place for it: ${BEGIN}`);
writeFileSync(README, `${readme.slice(0, before)}${BEGIN}\n\n${block}\n\n${readme.slice(after)}`);
