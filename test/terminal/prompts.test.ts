import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Box, PASSPHRASE } from '../cli/box.ts';
import { TmuxTerminal } from './tmux.ts';

let box: Box;
let backup: string;
/** The options between `coffer backup` and the directory. */
let toUsb: string;
let list: string;
const rubbish: (() => unknown)[] = [];
afterAll(async () => {
  for (const remove of rubbish) await remove();
});
beforeAll(async () => {
  box = await Box.full((remove) => rubbish.push(remove));
  backup = box.backUp();
  toUsb = `--system '${box.directory}' --kdf-cost 14 -d usb --new-series`;
  list = `coffer list --system '${box.directory}' -d usb '${backup}'`;
});

const backups = (): number => readdirSync(box.backups).length;

describe.each([200, 80, 40])('in a terminal of %i columns', (columns) => {
  it('a backup shows its plan, asks for confirmation, and asks twice for the passphrase without showing it', async () => {
    await using terminal = TmuxTerminal.run(`coffer backup ${toUsb} backups vault`, { columns });
    await terminal.until(/vault[^]*Back up\? \[y\/N\] $|Back up\? \[y\/N\]$/m);
    terminal.type('y\n');
    await terminal.until(/^Passphrase:/m);
    terminal.type('new secret\n');
    await terminal.until(/^Repeat the passphrase:/m);
    terminal.type('new secret\n');
    expect(await terminal.ended()).toBe(0);
    expect(terminal.shown).not.toMatch(/secret/);
    expect(terminal.shown).toMatch(/^Stored /m);
  });

  it('any answer but yes means no', async () => {
    for (const answer of ['n', '', 'yess', 'nein']) {
      const before = backups();
      await using terminal = TmuxTerminal.run(`coffer backup ${toUsb} -p pw backups vault`, {
        columns,
      });
      writeFileSync(join(terminal.directory, 'pw'), 'secret\n');
      await terminal.until(/Back up\?/);
      terminal.type(`${answer}\n`);
      expect(await terminal.ended()).toBe(5);
      expect(backups()).toBe(before);
    }
  });
});

describe('the passphrase', () => {
  it('is asked for again if the two entries differ', async () => {
    await using terminal = TmuxTerminal.run(`coffer backup ${toUsb} -y backups vault`);
    await terminal.until(/^Passphrase:/m);
    terminal.type('0ne\ntw0\n');
    await terminal.until(/do not match[^]*^Passphrase:/m);
    terminal.type('thr33\nthr33\n');
    expect(await terminal.ended()).toBe(0);
    expect(terminal.shown).not.toMatch(/0ne|tw0|thr33/);
  });

  it('can be edited like any line, and is refused if it is wrong', async () => {
    await using terminal = TmuxTerminal.run(list);
    await terminal.until(/^Passphrase:/m);
    terminal.type('something else');
    terminal.press('C-u');
    terminal.type(`${PASSPHRASE}ä`);
    terminal.press('BSpace');
    terminal.type('\n');
    expect(await terminal.ended()).toBe(0);

    await using other = TmuxTerminal.run(list);
    await other.until(/^Passphrase:/m);
    other.type('wrong\n');
    expect(await other.ended()).toBe(3);
  });

  it('consists of the bytes that the terminal sends, in any encoding', async () => {
    const file = join(box.directory, 'latin-1');
    writeFileSync(file, 'p\xe9ss\n', 'latin1');
    const made = box.coffer([
      'backup',
      '-d',
      'usb',
      '-p',
      file,
      '-y',
      '--new-series',
      'backups',
      'vault',
    ]);
    expect(made).toMatchObject({ status: 0 });
    const newest = readdirSync(box.backups).sort().at(-1) ?? '';
    for (const [typed, encoding, status] of [
      ['p\xe9ss\n', 'latin1', 0],
      ['p\xe8ss\n', 'latin1', 3],
      ['p\xe9ss\n', 'utf8', 3],
    ] as const) {
      await using terminal = TmuxTerminal.run(
        `coffer list --system '${box.directory}' -d usb 'backups/${newest}'`,
      );
      await terminal.until(/^Passphrase:/m);
      terminal.type(typed, encoding);
      expect(await terminal.ended()).toBe(status);
    }
  });

  it('is asked for at the terminal, even if standard input, output and error are redirected', async () => {
    await using terminal = TmuxTerminal.run(
      `echo other | { ${list} 2>log >out; }; status=$?; cat out log; sh -c "exit $status"`,
    );
    await terminal.until(/^Passphrase:/m);
    terminal.type(`${PASSPHRASE}\n`);
    expect(await terminal.ended()).toBe(0);
    expect(readFileSync(join(terminal.directory, 'log'), 'utf8')).toBe('');
    expect(readFileSync(join(terminal.directory, 'out'), 'utf8')).toMatch(/work/);
    expect(terminal.shown).not.toContain(PASSPHRASE);
  });

  it('is not shown with -p - if standard input is the terminal', async () => {
    await using terminal = TmuxTerminal.run(`${list} -p -`);
    await terminal.until(/^Passphrase:/m);
    terminal.type(`${PASSPHRASE}\n`);
    expect(await terminal.ended()).toBe(0);
    expect(terminal.shown).not.toContain(PASSPHRASE);
  });

  it('does not consume what is typed after it', async () => {
    await using terminal = TmuxTerminal.run(`${list} >/dev/null; read -r line; echo "read $line"`);
    await terminal.until(/^Passphrase:/m);
    terminal.type(`${PASSPHRASE}\nthe next line\n`);
    await terminal.until(/^read the next line$/m);
  });

  it('is asked for again when coffer continues after it was stopped', async () => {
    await using terminal = TmuxTerminal.run(`set -m\n${list}\nstty -a | grep -o ' -*echo '; fg`);
    await terminal.until(/^Passphrase:/m);
    terminal.press('C-z');
    await terminal.until(/^ echo/m);
    await terminal.until(/Passphrase:[^]*Passphrase:/m);
    terminal.type(`${PASSPHRASE}\n`);
    expect(await terminal.ended()).toBe(0);
    expect(terminal.shown).not.toContain(PASSPHRASE);
  });

  it('is not asked for before coffer is in the foreground', async () => {
    await using terminal = TmuxTerminal.run(
      `set -m\n${list} & sleep 2; jobs; stty -a | grep -o ' -*echo '; fg`,
    );
    await terminal.until(/Stopped/);
    await terminal.until(/^ echo[^]*Passphrase:/m);
    terminal.type(`${PASSPHRASE}\n`);
    expect(await terminal.ended()).toBe(0);
  });

  it('is not asked for without a terminal', () => {
    const run = box.coffer(['list', '-d', 'usb', backup]);
    expect(run).toMatchObject({ status: 5 });
    expect(run.stderr).toMatch(/no terminal to ask for the passphrase: use -p/);
  });
});

const QUESTIONS = [
  ['the passphrase', () => list, /^Passphrase:/m],
  [
    'the passphrase again',
    () => `coffer backup ${toUsb} -y backups vault`,
    /^Repeat the passphrase:/m,
  ],
  ['backing up', () => `coffer backup ${toUsb} backups vault`, /Back up\?/],
  [
    'restoring',
    () =>
      `coffer restore --system '${box.directory}' -d usb -p '${box.passphraseFile}' --rename-conflicting '${backup}' vault`,
    /Restore\?/,
  ],
] as const;

describe.each(QUESTIONS)('at the question about %s', (_, command, question) => {
  async function atQuestion(): Promise<TmuxTerminal> {
    const terminal = TmuxTerminal.run(`sh -c 'echo $$ >pid; exec "$@"' sh ${command()}`);
    if (question.source.includes('Repeat')) {
      await terminal.until(/^Passphrase:/m);
      terminal.type('secret\n');
    }
    await terminal.until(question);
    return terminal;
  }

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s ends coffer at once', async (signal) => {
    const before = backups();
    await using terminal = await atQuestion();
    process.kill(Number(readFileSync(join(terminal.directory, 'pid'), 'utf8')), signal);
    expect(await terminal.ended()).toBe(130);
    expect(terminal.shown).toMatch(/^coffer: interrupted/m);
    expect(backups()).toBe(before);
  });

  it('Ctrl-C ends coffer at once', async () => {
    await using terminal = TmuxTerminal.run(`trap : INT\n${command()}`);
    if (question.source.includes('Repeat')) {
      await terminal.until(/^Passphrase:/m);
      terminal.type('secret\n');
    }
    await terminal.until(question);
    terminal.press('C-c');
    expect(await terminal.ended()).toBe(130);
  });

  it('the end of the input is refused', async () => {
    await using terminal = await atQuestion();
    terminal.press('C-d');
    expect(await terminal.ended()).toBe(5);
    expect(terminal.shown).toMatch(/^coffer: the input ended without an answer/m);
  });
});
