import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Dom0 } from '../qubesd/dom0.ts';
import { Box, PASSPHRASE } from './box.ts';
import { type Told, eventsIn, lastEvent } from './events.ts';

/** Runs coffer with `--json`. */
function told(box: Box, args: readonly string[], input = ''): { status: number; events: Told[] } {
  const [command = '', ...rest] = args;
  const { status, stdout } = box.loud([command, '--json', ...rest], input);
  const events = eventsIn(stdout);
  expect(events.at(-1)).toMatchObject({ exitStatus: status });
  return { status: status ?? -1, events };
}

/** A directory with a valid profile and an invalid one. */
function profilesOf(box: Box): string {
  const directory = join(box.directory, 'profiles');
  mkdirSync(directory);
  writeFileSync(join(directory, 'broken.conf'), 'what\n');
  const lines = ['location = backups', 'dest-vm = usb', 'vm = @tag:x', 'keep-last = 3', ''];
  writeFileSync(join(directory, 'weekly.conf'), lines.join('\n'));
  return directory;
}

/** Waits until the last write to a file is further back than the resolution of the times of any file system. */
async function settled(file: string): Promise<void> {
  const left = statSync(file).ctimeMs + 2100 - Date.now();
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, left)));
}

const kindsOf = (events: readonly Told[]): string[] => events.map(({ event }) => event);
const ofKind = (events: readonly Told[], kind: string): Told[] =>
  events.filter(({ event }) => event === kind);

/** Changes the notes on what the volumes were like at the last backup. */
function setNotes(box: Box, fields: Record<string, string>): void {
  const series = join(box.directory, 'dom0-state/series');
  for (const name of readdirSync(series, { recursive: true, encoding: 'utf8' })) {
    if (!basename(name).startsWith('volume.')) continue;
    const note = JSON.parse(readFileSync(join(series, name), 'utf8')) as Record<string, string>;
    writeFileSync(join(series, name), JSON.stringify({ ...note, ...fields }));
  }
}

describe('the events of', () => {
  it('a backup report the plan, the phases, each VM, the progress and the result', async () => {
    const box = await Box.full(onTestFinished);
    const args = ['backup', '-d', 'usb', ...box.secret, '-y', '--with-recovery', 'backups'];
    const { events } = told(box, [...args, 'work', 'vault', 'dom0']);
    expect(ofKind(events, 'phase').map(({ phase }) => phase)).toEqual([
      ...['look', 'send', 'index', 'sync', 'check'],
    ]);
    expect(ofKind(events, 'plan')).toMatchObject([{ vm: 'usb', startsVm: false, problems: [] }]);
    for (const name of ['work', 'vault', 'dom0']) {
      const own = ofKind(events, 'qube').filter((each) => each['name'] === name);
      expect(own.at(-1)).toMatchObject({ state: 'done', what: null });
      expect(own.at(-1)?.['read']).toBeGreaterThan(0);
    }
    const last = ofKind(events, 'progress').at(-1);
    expect(last?.['bytes']).toBe(last?.['total']);
    expect(events.at(-1)).toMatchObject({ event: 'result', ok: true, checked: true });
    expect(ofKind(events, 'plan')).toMatchObject([{ series: null, unknown: null }]);
    expect(last?.['stored']).toBe(events.at(-1)?.['bytes']);
  });

  it('a backup that continues a series report the phase in which changes are detected', async () => {
    const box = await Box.full(onTestFinished);
    box.backUp();
    const args = ['backup', '-d', 'usb', ...box.secret, '-y', 'backups', 'work'];
    const phases = ofKind(told(box, args).events, 'phase').map(({ phase }) => phase);
    expect(phases.slice(0, 3)).toEqual(['look', 'detect', 'send']);
  });

  it('a plan and of status report which VMs have changed since the last backup, and the expected effort, if known', async () => {
    const box = await Box.full(onTestFinished);
    const image = (name: string): string => join(box.directory, 'appvms', name, 'private.img');
    const plan = (...names: string[]): Told => {
      const asked = ['backup', '--json', '--questions', '-d', 'usb', 'backups', ...names];
      return ofKind(eventsIn(box.loud(asked, 'no\n').stdout), 'plan')[0] ?? { event: 'none' };
    };
    const qubesOf = (of: Told): Told[] => of['qubes'] as Told[];
    const planned = (): unknown[] =>
      qubesOf(plan('work', 'vault')).map(({ name, sinceLast, changed }) => [
        ...[name, sinceLast, changed],
      ]);
    const inStatus = (): unknown[] =>
      (told(box, ['status']).events.at(-1)?.['qubes'] as Told[]).flatMap(({ name, sinceLast }) =>
        name === 'work' || name === 'vault' ? [[name, sinceLast]] : [],
      );
    const unknown = ['work', 'vault'].map((name) => [name, null, null]);
    expect(planned()).toEqual(unknown);
    expect(plan('work')).toMatchObject({ mostSeconds: null, lastEffort: null });
    // A file that was written to just now could be written to again without a change of its time.
    await settled(image('vault'));
    box.backUp();
    expect(planned()).toEqual([
      ['work', 'unchanged', 0],
      ['vault', 'unchanged', 0],
    ]);
    const effort = plan('work')['lastEffort'] as Record<string, number>;
    expect(
      Object.values(effort)
        .slice(1)
        .every((number) => number > 0),
    ).toBe(true);
    expect(plan('work')).toMatchObject({ mostRead: 0, mostSeconds: 0 });
    // It will be read nevertheless when it is due to be compared as a whole.
    setNotes(box, { wholeBackups: '30' });
    const due = plan('work');
    expect(due['mostRead']).toBe(qubesOf(due)[0]?.['used']);
    setNotes(box, { wholeBackups: '0' });
    // usb is in no backup of the series.
    const [usb] = qubesOf(plan('usb'));
    expect(usb).toMatchObject({ sinceLast: 'changed', changed: usb?.['used'] });
    const terminal = box.loud(['backup', '-d', 'usb', ...box.secret, '-y', 'backups', 'work']);
    expect(terminal.stdout).toMatch(/only what has changed since is stored. Unchanged: work\.$/m);
    writeFileSync(image('work'), randomBytes(5000), { flag: 'r+' });
    await settled(image('work'));
    expect(planned()).toEqual([
      ['work', 'changed', null],
      ['vault', 'unchanged', 0],
    ]);
    const changed = plan('work', 'vault');
    expect(changed['mostRead']).toBe(qubesOf(changed)[0]?.['used']);
    expect(changed['mostSeconds']).toBeGreaterThan(0);
    expect(inStatus()).toEqual([
      ['work', 'changed'],
      ['vault', 'unchanged'],
    ]);
    rmSync(join(box.directory, 'dom0-state/series'), { recursive: true });
    expect(planned()).toEqual(unknown);
  });

  it('list, verify, restore and status agree with the documented schema', async () => {
    const box = await Box.full(onTestFinished);
    const backup = box.backUp();
    const reading = ['-d', 'usb', ...box.secret];
    expect(told(box, ['list', ...reading, backup]).status).toBe(0);
    expect(told(box, ['list', ...reading, 'backups']).status).toBe(0);
    expect(told(box, ['list', '-d', 'usb', '--no-contents', 'backups']).status).toBe(0);
    const verified = told(box, ['verify', ...reading, backup]).events;
    expect(ofKind(verified, 'phase').map(({ phase }) => phase)).toEqual(['look', 'check']);
    const restored = told(box, [
      'restore',
      ...reading,
      '-y',
      '--rename-conflicting',
      backup,
    ]).events;
    expect(ofKind(restored, 'phase').map(({ phase }) => phase)).toEqual([
      ...['look', 'receive', 'settle'],
    ]);
    expect(ofKind(restored, 'qube').at(-1)).toMatchObject({ state: 'done' });
    expect(told(box, ['status']).events.at(-1)).toMatchObject({
      excluded: [{ name: 'usb', class: 'AppVM' }],
    });
  });

  it('the other commands agree with the documented schema', async () => {
    const box = await Box.full(onTestFinished);
    const file = join(box.directory, 'new-passphrase');
    const made = box.bare(['passphrase-file', '--json', '--questions', file], 'long and new\n');
    expect(eventsIn(made.stdout).map(({ event }) => event)).toEqual([
      ...['phase', 'question', 'result'],
    ]);
    expect(readFileSync(file, 'utf8')).toBe('long and new\n');
    const listed = box.bare(['profiles', '--json'], '', { COFFER_PROFILES: profilesOf(box) });
    expect(lastEvent(listed.stdout)).toMatchObject({
      profiles: [{ name: 'broken' }, { name: 'weekly', vm: 'usb', rules: true }],
    });
    const spaced = box.bare(['sandbox', '--empty', join(box.directory, 'a sandbox')]);
    expect(spaced.stdout).toMatch(/: use it with --system '.*\/a sandbox'$/m);
    const sandbox = box.bare(['sandbox', '--json', '--empty', join(box.directory, 'sandbox')]);
    expect(lastEvent(sandbox.stdout)).toMatchObject({ event: 'result', ok: true });
    await using dom0 = await Dom0.make();
    const devices = await dom0.coffer(['devices', '--json']);
    expect(lastEvent(devices.stdout)).toMatchObject({ event: 'result', ok: true });
  });

  it('verifying a damaged backup report the warnings, and which VM failed', async () => {
    const box = await Box.full(onTestFinished);
    const backup = box.backUp(['--compress-filter', 'none']);
    box.damage(backup);
    const { status, events } = told(box, ['verify', '-d', 'usb', ...box.secret, backup]);
    expect(status).toBe(3);
    expect(ofKind(events, 'warning')).not.toEqual([]);
    expect(ofKind(events, 'qube').some(({ state }) => state === 'failed')).toBe(true);
    expect(events.at(-1)).toMatchObject({ event: 'result', ok: false });
  });
});

describe('an error event names the input that is wrong:', () => {
  it.each([
    ['location', ['backup', '-y', '-d', 'usb', 'nosuch', 'work'], 5],
    ['location', ['backup'], 2],
    ['dest-vm', ['backup', '-y', '-d', 'nosuch', 'backups'], 5],
    ['vms', ['backup', '-y', '-d', 'usb', 'backups', 'nosuch'], 5],
    ['kdf-cost', ['backup', '--kdf-cost', '99', 'backups'], 2],
    ['new-name', ['restore', '--new-name', 'work', 'backups'], 2],
    ['compress-filter', ['backup', '-y', '-d', 'usb', '-Z', 'lzip', 'backups'], 2],
    ['profile', ['backup', '--profile', 'nosuch'], 2],
    ['location', ['list', '-d', 'usb', 'nosuch'], 5],
    ['location', ['list'], 2],
    ['passphrase', ['list', '-d', 'usb', '-p', 'nosuch', 'backups/x'], 5],
  ])('%s: %j', async (field, args, exitStatus) => {
    const box = await Box.full(onTestFinished);
    const [command = '', ...rest] = args;
    const secret = args.includes('-p') || args.length === 1 ? [] : box.secret;
    const { events } = told(box, [command, ...secret, ...rest]);
    expect(events.at(-1)).toMatchObject({ event: 'error', field, exitStatus });
  });

  it('new-name, use-template and use-netvm, with the VM', async () => {
    const box = await Box.full(onTestFinished);
    const backup = box.backUp();
    for (const [field, choice] of [
      ['new-name', 'work=usb'],
      ['use-template', 'work=nosuch'],
      ['use-netvm', 'work=nosuch'],
    ]) {
      const restore = ['restore', '-y', '--rename-conflicting', `--${field}`, choice ?? ''];
      const { events } = told(box, [...restore, '-d', 'usb', ...box.secret, backup]);
      expect(events.at(-1)).toMatchObject({ event: 'error', field, vm: 'work', exitStatus: 5 });
    }
  });

  it('passphrase, if it is wrong', async () => {
    const box = await Box.full(onTestFinished);
    writeFileSync(join(box.directory, 'wrong'), 'wrong\n');
    const wrong = ['-p', join(box.directory, 'wrong')];
    const { events } = told(box, ['list', '-d', 'usb', ...wrong, box.backUp()]);
    expect(events.at(-1)).toMatchObject({ event: 'error', field: 'passphrase', exitStatus: 3 });
  });
});

describe('with --questions', () => {
  const backUp = ['backup', '--questions', '-d', 'usb', 'backups', 'vault'];

  it('the plan is confirmed and the passphrase read on standard input', async () => {
    const box = await Box.full(onTestFinished);
    const { status, events } = told(box, backUp, `yes\n${PASSPHRASE}\n`);
    expect(status).toBe(0);
    const asked = events.filter(({ event }) => event === 'plan' || event === 'question');
    expect(asked).toMatchObject([
      { event: 'plan' },
      { question: 'confirm' },
      { question: 'new-passphrase' },
    ]);
    const file = lastEvent(
      box.loud(['list', '--json', '-d', 'usb', ...box.secret, 'backups']).stdout,
    );
    expect(file).toMatchObject({ backups: [{ qubes: ['vault'], problem: null }] });
  });

  it.each([
    ['no\n', 'nothing was done'],
    ['\n', 'nothing was done'],
    ['', 'the input ended without an answer: nothing was done'],
    ['yes\n', 'the input ended without an answer: nothing was done'],
  ])('nothing is done on the answers %j', async (input, sentence) => {
    const box = await Box.full(onTestFinished);
    const { status, events } = told(box, backUp, input);
    expect(status).toBe(5);
    expect(events.at(-1)).toMatchObject({ event: 'error', sentence });
  });

  it('a restore only asks for the passphrase and for the confirmation of its plan', async () => {
    const box = await Box.full(onTestFinished);
    const restore = ['restore', '--questions', '-d', 'usb', '--rename-conflicting', box.backUp()];
    const { status, events } = told(box, restore, `${PASSPHRASE}\nyes\n`);
    expect(status).toBe(0);
    expect(kindsOf(events).filter((kind) => kind === 'plan' || kind === 'question')).toEqual([
      ...['question', 'plan', 'question'],
    ]);
  });

  it('an interrupt at a question is reported as an error', async () => {
    const box = await Box.full(onTestFinished);
    const words = [...backUp, '--json', '--system', box.directory];
    const coffer = spawn(new URL('../../dist/coffer', import.meta.url).pathname, words, {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const ended = once(coffer, 'exit');
    coffer.stdout.once('data', () => undefined);
    const said = text(
      coffer.stdout.on('data', (chunk: Buffer) => {
        if (chunk.includes('"question"')) coffer.kill('SIGINT');
      }),
    );
    expect(await ended).toEqual([130, null]);
    expect(lastEvent(await said)).toMatchObject({ event: 'error', exitStatus: 130 });
  });

  it('a command is refused without --json, and with -p -', async () => {
    const box = await Box.full(onTestFinished);
    expect(box.loud(backUp)).toMatchObject({ status: 2 });
    const { status } = told(box, ['list', '--questions', '-p', '-', '-d', 'usb', box.backUp()]);
    expect(status).toBe(2);
    expect(existsSync(box.backups)).toBe(true);
  });
});
