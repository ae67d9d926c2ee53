import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Box, PASSPHRASE } from '../cli/box.ts';
import { StorageCommand } from '../transport/storage-command.ts';
import { TmuxTerminal } from './tmux.ts';

let box: Box;
const rubbish: (() => unknown)[] = [];
afterAll(async () => {
  for (const remove of rubbish) await remove();
});
beforeAll(async () => {
  box = await Box.full((remove) => rubbish.push(remove));
  // The backups of the wizard continue this series, whose key derivation is cheap.
  box.backUp();
  mkdirSync(join(box.backups, 'older'));
});

const backups = (): string[] =>
  readdirSync(box.backups)
    .filter((name) => name.startsWith('qubes-backup-'))
    .sort();

function wizard(columns = 80, { directory } = box): TmuxTerminal {
  return TmuxTerminal.run(
    `export COFFER_SYSTEM='${directory}'\ntrap : INT\nsh -c 'echo $$ >pid; exec coffer'`,
    { columns, rows: 30 },
  );
}

/** A question to wait for, and the keys that answer it. */
type Answer = readonly [question: RegExp, ...keys: readonly string[]];

async function answer(terminal: TmuxTerminal, answers: readonly Answer[]): Promise<void> {
  for (const [question, ...keys] of answers) {
    await terminal.until(question);
    for (const key of keys) {
      if (/^(Enter|Down|Space|Escape|C-.)$/.test(key)) terminal.press(key);
      else terminal.type(key);
    }
  }
}

const TASK: Answer = [/What do you want to do\?/, 'Enter'];
const QUBES: Answer = [/Which VMs\?/, 'Enter'];
const KIND: Answer = [/Where should the backup\s+go\?/, 'Enter'];
const VM: Answer = [/Which VM\?/, 'usb', 'Enter'];
const WHAT: Answer = [/Where in usb\?/, 'Enter'];
const PLACE: Answer = [/Where in usb\?/, 'Down', 'Enter'];
const COMMAND: Answer = [/Where in usb\?/, 'Down', 'Down', 'Enter'];
const INTO: Answer = [/Which directory\?[^]*backups\//, 'Down', 'Enter'];
const HERE: Answer = [/Which directory\?[^]*older\//, 'Enter'];
const ENCRYPTION: Answer = [/Encrypt the backup\?/, 'Enter'];
const PASSPHRASE_TWICE: readonly Answer[] = [
  [/^Passphrase:/m, `${PASSPHRASE}\n`],
  [/^Repeat the passphrase:/m, `${PASSPHRASE}\n`],
];
const TO_USB = [TASK, QUBES, KIND, VM, WHAT, INTO, HERE];
const RESTORE: Answer = [/What do you want to do\?/, 'Down', 'Enter'];
const SOURCE: Answer = [/Where is the backup\?/, 'Enter'];
const TO_NEWEST: readonly Answer[] = [
  ...[RESTORE, SOURCE, VM, WHAT],
  [/Which backup\?[^]*backups\//, 'Enter'],
  [/Which backup\?[^]*the newest backup here/, 'Enter'],
];
const OPENED: readonly Answer[] = [...TO_NEWEST, [/^Passphrase:/m, `${PASSPHRASE}\n`]];

describe.each([200, 80, 40])('in a terminal of %i columns, the wizard', (columns) => {
  it('makes a backup, and shows the equivalent command', async () => {
    const before = backups().length;
    await using terminal = wizard(columns);
    await answer(terminal, [...TO_USB, ENCRYPTION, ...PASSPHRASE_TWICE]);
    await answer(terminal, [[/Back up\?\s+\[y\/N\]/, 'y\n']]);
    expect(await terminal.ended()).toBe(0);
    expect(backups()).toHaveLength(before + 1);
    expect(terminal.joined).toMatch(
      /^The same without these questions:\n    coffer backup --dest-vm usb backups$/m,
    );
    expect(terminal.shown).not.toContain(PASSPHRASE);
    const again = ['backup', '--dest-vm', 'usb', 'backups', '-y', ...box.secret];
    expect(box.coffer(again)).toMatchObject({ status: 0 });
  });

  it('restores from a backup, and shows the equivalent command', async () => {
    await using terminal = wizard(columns);
    await answer(terminal, [
      ...TO_NEWEST,
      [/^Passphrase:/m, 'wrong\n'],
      [/Try again[^]*^Passphrase/m, `${PASSPHRASE}\n`],
      // All VMs are selected: `i` deselects them, and Space selects the first.
      [/Which VMs\?/, 'i', 'Space', 'Enter'],
      [/Any of these\?/, 'Space', 'Enter'],
      [/Restore\?\s+\[y\/N\]/, 'y\n'],
    ]);
    expect(await terminal.ended()).toBe(0);
    expect(terminal.shown).toMatch(/debian-\d +restored|debian-\d\n +result: restored/);
    expect(terminal.joined).toMatch(
      /^The same without these questions:\n    coffer restore --dest-vm usb --rename-conflicting backups debian$/m,
    );
  });
});

const KEYS = '↑↓ navigate, ⏎ select, Esc back';
const ANSWERED = [
  '✔ What do you want to do? back up VMs',
  '✔ Which VMs? dom0, debian, work, vault',
  '✔ Where should the backup go? a VM',
  '✔ Which VM? usb',
];
/** The screens at the first questions, below the questions that were answered. */
const SCREENS: readonly (readonly [Answer, readonly string[]])[] = [
  [TASK, ['? What do you want to do?', '❯ back up VMs', '  restore VMs from a backup', '', KEYS]],
  [
    QUBES,
    [
      ...['? Which VMs?', '❯◉ dom0  the home of its user', ' ◉ debian  0 B', ' ◯ usb  0 B'],
      ...[' ◉ work  1.25 MiB', ' ◉ vault  1.25 MiB', '', 'AdminVM'],
      '↑↓ navigate, space select, a all, i invert, ⏎ submit, Esc back',
    ],
  ],
  [
    KIND,
    [
      ...['? Where should the backup go?', '❯ a VM', '  dom0', ''],
      ...['A directory in it, or a command.', KEYS],
    ],
  ],
  [VM, ['? Which VM?', '❯ debian', '  usb', '  work', '  vault', '', KEYS]],
  [
    WHAT,
    [
      ...['? Where in usb?', '❯ a directory', '  a place that a command leads to'],
      ...['  a command', '', KEYS],
    ],
  ],
];

it.each([200, 80, 40])(
  'in a terminal of %i columns, the wizard asks its first questions with the expected screens',
  async (columns) => {
    // A box of its own: other tests restore VMs, which would be on the screens.
    await using terminal = wizard(columns, await Box.full());
    const lines = (): string[] => terminal.shown.replace(/\n(?=invert)/, ' ').split('\n');
    for (const [place, [step, screen]] of SCREENS.entries()) {
      const expected = [...ANSWERED.slice(0, place), ...screen];
      await vi.waitFor(() => expect(lines()).toEqual(expected), { timeout: 40_000 });
      await answer(terminal, [step]);
    }
    terminal.press('C-c');
    expect(await terminal.ended()).toBe(130);
  },
);

/** Each question of a backup: its name, the answers that lead to it, and its text. */
const WAYS: readonly (readonly [string, readonly Answer[], RegExp])[] = [
  ['what to do', [], /What do you want to do\?/],
  ['the VMs', [TASK], /Which VMs\?/],
  ['the kind of place', [TASK, QUBES], /Where should the backup go\?/],
  ['the VM', [TASK, QUBES, KIND], /Which VM\?/],
  ['directory or command', [TASK, QUBES, KIND, VM], /Where in usb\?/],
  ['the directory', [TASK, QUBES, KIND, VM, WHAT], /Which directory\?[^]*backups\//],
  ['a path', [TASK, QUBES, KIND, VM, WHAT, [/Which directory/, 'another', 'Enter']], /The path:/],
  ['a command', [TASK, QUBES, KIND, VM, COMMAND], /The command:/],
  ['what leads there', [TASK, QUBES, KIND, VM, PLACE], /Which command leads there\?/],
  ['the encryption', TO_USB, /Encrypt the backup\?/],
  ['the passphrase', [...TO_USB, ENCRYPTION], /^Passphrase:/m],
  ['the review', [...TO_USB, ENCRYPTION, ...PASSPHRASE_TWICE], /Back up\?/],
];

/** The questions that only a restore asks. */
const WAYS_BACK: typeof WAYS = [
  ['where the backup is', [RESTORE], /Where is the backup\?/],
  ['the backup', [RESTORE, SOURCE, VM, WHAT], /Which backup\?[^]*backups\//],
  ['its passphrase', TO_NEWEST, /^Passphrase:/m],
  ['the VMs to restore', OPENED, /Which VMs\?/],
  ['the options', [...OPENED, QUBES], /Any of these\?/],
  ['the restore', [...OPENED, QUBES, [/Any of these\?/, 'Space', 'Enter']], /Restore\?/],
];

describe.each([...WAYS, ...WAYS_BACK])(
  'the wizard, at the question for %s,',
  (_, way, question) => {
    it('ends at Ctrl-C, and says that nothing was done', async () => {
      const before = backups();
      await using terminal = wizard();
      await answer(terminal, [...way, [question, 'C-c']]);
      expect(await terminal.ended()).toBe(130);
      expect(terminal.shown).toMatch(/^coffer: interrupted: nothing was done/m);
      expect(backups()).toEqual(before);
    });
  },
);

it.each(WAYS.slice(1, -2))(
  'the wizard goes back from the question for %s at each Esc, and ends after the first question',
  async (_, way) => {
    await using terminal = wizard();
    await answer(terminal, way);
    // As often as needed: at the first question, Esc ends the wizard.
    const escaping = setInterval(() => terminal.press('Escape'), 700);
    try {
      await terminal.until(/^Nothing was done\.$/m);
    } finally {
      clearInterval(escaping);
    }
    expect(await terminal.ended()).toBe(0);
  },
);

it('the wizard goes back one question at Esc, and takes another answer there', async () => {
  await using terminal = wizard();
  await answer(terminal, [TASK, QUBES, KIND, VM, [/Where in usb\?/, 'Escape']]);
  await answer(terminal, [
    [/Where in usb\?[^]*Which VM\?/, 'work', 'Enter'],
    [/Where in work\?/, 'C-c'],
  ]);
  expect(await terminal.ended()).toBe(130);
});

it('the wizard reports an invalid answer at once, and lets the user correct it', async () => {
  await using terminal = wizard();
  await answer(terminal, [
    TASK,
    [/Which VMs\?/, 'a', 'a', 'Enter'],
    [/At least one choice must be selected/, 'i', 'Enter'],
  ]);
  await answer(terminal, [KIND, VM, WHAT, [/Which directory/, 'another', 'Enter']]);
  await answer(terminal, [
    [/The path:/, 'nosuch', 'Enter'],
    [/nosuch does not exist/, '\u0015', '-odd', 'Enter'],
    [/-odd does not exist/, '\u0015', 'backups', 'Enter'],
    [/Encrypt the backup\?/, 'Down', 'Enter'],
    [/^Passphrase:/m, 'one\n'],
    [/^Repeat the passphrase:/m, 'two\n'],
    [/do not match/, 'C-c'],
  ]);
  expect(await terminal.ended()).toBe(130);
});

it('the wizard takes a command as the destination, and quotes it in the equivalent command', async () => {
  await using terminal = wizard();
  await answer(terminal, [TASK, [/Which VMs\?/, 'i', 'Space', 'Enter'], KIND, VM]);
  await answer(terminal, [
    COMMAND,
    [/The command:/, 'Enter'],
    [/Type a command/, "cat >'my backup'", 'Enter'],
    ENCRYPTION,
    ...PASSPHRASE_TWICE,
    [/Back up\?/, 'n\n'],
  ]);
  expect(await terminal.ended()).toBe(5);
  expect(terminal.joined).toMatch(
    /^The same without these questions:\n    coffer backup --dest-vm usb --command 'cat >'\\''my backup'\\''' dom0 usb$/m,
  );
});

it('the wizard backs up through a command, and restores through one', async () => {
  const far = join(box.directory, 'far-away');
  mkdirSync(far);
  const { command } = new StorageCommand(join(box.directory, 'homes/usb'));
  const through: readonly Answer[] = [
    PLACE,
    [/Which command leads there\?/, 'another', 'Enter'],
    [/The command:/, command, 'Enter'],
  ];
  {
    await using terminal = wizard();
    await answer(terminal, [TASK, [/Which VMs\?/, 'i', 'Space', 'Enter'], KIND, VM, ...through]);
    await answer(terminal, [
      [/The place, as the command takes it:/, '/nosuch', 'Enter'],
      [/ended\s+with\s+status\s+9/, '\u0015', far, 'Enter'],
      ...[ENCRYPTION, ...PASSPHRASE_TWICE],
      [/Back up\?/, 'y\n'],
    ]);
    expect(await terminal.ended()).toBe(0);
    expect(terminal.joined).toContain(
      `coffer backup --dest-vm usb --through ${command} ${far} dom0 usb\n`,
    );
  }
  expect(readdirSync(far)).toHaveLength(1);
  await using terminal = wizard();
  await answer(terminal, [RESTORE, SOURCE, VM, ...through]);
  await answer(terminal, [
    [/The place, as the command takes it:/, far, 'Enter'],
    [/Which backup\?[^]*the newest backup here/, 'Enter'],
    [/^Passphrase:/m, `${PASSPHRASE}\n`],
    [/Which VMs\?[^]*usb/, 'C-c'],
  ]);
  expect(await terminal.ended()).toBe(130);
});

it('the wizard ends at SIGTERM and at the end of the input', async () => {
  for (const [key, status] of [
    ['C-d', 5],
    ['TERM', 130],
  ] as const) {
    await using terminal = wizard();
    await answer(terminal, [TASK, [/Which VMs\?/]]);
    if (key === 'C-d') terminal.press(key);
    else spawnSync('sh', ['-c', 'kill -TERM "$(cat pid)"'], { cwd: terminal.directory });
    expect(await terminal.ended()).toBe(status);
  }
});

it('coffer shows its help instead of the wizard if there is no terminal', () => {
  const run = box.bare([], '', { COFFER_SYSTEM: box.directory });
  expect(run.status).toBe(2);
  expect(run.stderr).toMatch(/^Usage: coffer/m);
});

it('the wizard shows no file names with control characters, and none of files without a backup', async () => {
  writeFileSync(join(box.backups, 'qubes-\u001b[31mred'), '');
  const others = ['qubes-data-2026-11-23T211301', 'qubes-pack-2026-11-23T211302'];
  for (const name of others) writeFileSync(join(box.backups, name), '');
  await using terminal = wizard();
  await answer(terminal, [[/What do you want/, 'Down', 'Enter'], [/Where is/, 'Enter'], VM, WHAT]);
  await answer(terminal, [[/Which backup\?/, 'Enter'], [/Which backup\?[^]*the newest/]]);
  expect(terminal.shown).not.toMatch(/red|qubes-(data|pack)/);
  for (const name of others) rmSync(join(box.backups, name));
  terminal.press('C-c');
  await terminal.ended();
});
