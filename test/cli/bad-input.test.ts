import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { eventually } from '../eventually.ts';
import { markRunning } from '../qubes/folder/small-system.ts';
import { Box, type Run } from './box.ts';

/** Runs coffer, which must end with `status`, print a sentence that matches, and change nothing. */
function expectRefusal(
  box: Box,
  args: string[],
  status: number,
  sentence: RegExp,
  input = '',
): void {
  const before = box.state;
  const run = box.coffer(args, input);
  expect(run, run.stderr).toMatchObject({ status });
  expect(run.stderr).toMatch(sentence);
  expect(run.stderr).not.toMatch(/\n {4}at /);
  expect(box.state).toBe(before);
  expect(readdirSync(box.backups).filter((name) => name.endsWith('.partial'))).toEqual([]);
}

describe('a backup is refused', () => {
  it('if arguments are wrong or the passphrase is missing', async () => {
    const box = await Box.full();
    const backup = ['backup', '-d', 'usb', ...box.secret, '-y', 'backups'];
    expectRefusal(box, [...backup, 'work', 'work'], 2, /work is named twice/);
    expectRefusal(box, [...backup, '--passphrase-vm', 'vault'], 2, /cannot be used with option/);
    expectRefusal(box, [...backup, 'nosuch'], 5, /no VM called nosuch/);
    expectRefusal(box, ['backup', '-d', 'usb', ...box.secret, '-y'], 2, /LOCATION is missing/);
    expectRefusal(box, [...backup, '--compress-filter', 'rot13'], 2, /compress-filter/);
    expectRefusal(
      box,
      [...backup, '--kdf-cost', '60'],
      2,
      /kdf-cost.* It must be .*\n\(see coffer backup --help\)/,
    );
    expectRefusal(
      box,
      ['backup', '-d', 'usb', '-p', '-', '-y', 'backups'],
      5,
      /passphrase is empty/,
    );
    const missing = ['backup', '-d', 'usb', '-p', '/nosuch/file', '-y', 'backups'];
    expectRefusal(box, missing, 5, /\/nosuch\/file cannot be read/);
    expectRefusal(box, ['backup', '-d', 'usb', 'backups'], 5, /no terminal/);
    expectRefusal(box, ['backup', '-d', 'usb', ...box.secret, 'backups', 'work'], 5, /-y/);
  });

  it('if the storage does not exist', async () => {
    const box = await Box.full();
    writeFileSync(join(box.directory, 'homes/usb/a-file'), '');
    const to = (...where: string[]): string[] => ['backup', ...box.secret, '-y', ...where];
    expectRefusal(box, to('-d', 'usb', 'nosuch'), 5, /nosuch/);
    expectRefusal(box, to('-d', 'usb', 'a-file'), 5, /a-file/);
    expectRefusal(box, to('-d', 'nosuch', 'backups'), 5, /no VM called nosuch/);
    expectRefusal(box, to('/nosuch/directory'), 5, /\/nosuch\/directory/);
  });

  it('if a VM is running and --running refuse is given', async () => {
    const box = await Box.full();
    await markRunning(box.directory, 'vault');
    const backup = ['backup', '-d', 'usb', ...box.secret, '-y'];
    expectRefusal(box, [...backup, '--running', 'refuse', 'backups'], 5, /vault is running/);
    expect(box.coffer([...backup, 'backups'])).toMatchObject({ status: 0 });
  });

  it('if the command fails at once, in the middle or at the end', async () => {
    const box = await Box.full();
    for (const command of [
      'echo the disk is on fire >&2; exit 7',
      'head -c 100000 > /dev/null; echo the disk is on fire >&2; exit 7',
      'cat > /dev/null; echo the disk is on fire >&2; exit 7',
    ]) {
      const backup = ['backup', '-d', 'usb', '--command', ...box.secret, '-y', command, 'work'];
      expectRefusal(box, backup, 4, /status 7.*the disk is on fire|the disk is on fire.*status 7/s);
    }
  });

  it('if a volume of its only VM cannot be read; with other VMs, it is made, and the VM incomplete in it', async () => {
    const box = await Box.full();
    const image = join(box.directory, 'appvms/work/private.img');
    rmSync(image);
    mkdirSync(image);
    const backup = ['backup', '-d', 'usb', ...box.secret, '-y', 'backups'];
    expectRefusal(box, [...backup, 'work'], 1, /volume private of work/);
    expect(readdirSync(box.backups)).toEqual([]);
    const both = box.coffer([...backup, 'vault', 'work']);
    expect(both).toMatchObject({ status: 1 });
    expect(both.stderr).toMatch(
      /^warning: work is incomplete in the backup: .*volume private of work/,
    );
    expect(readdirSync(box.backups)).toHaveLength(1);
  });
});

it('a volume that was made smaller is backed up with its new size', async () => {
  const box = await Box.full();
  writeFileSync(join(box.directory, 'appvms/work/private.img'), 'small');
  const backup = box.backUp(['-x', 'debian']);
  const restore = ['restore', '-d', 'usb', ...box.secret, '-y', '--rename-conflicting'];
  expect(box.coffer([...restore, backup, 'work'])).toMatchObject({ status: 0, stderr: '' });
  expect(readFileSync(join(box.directory, 'appvms/work-1/private.img'), 'utf8')).toBe('small');
});

describe('help', () => {
  it('is shown for each command, and refused for an unknown one', async () => {
    const box = await Box.empty();
    const help = (...words: string[]): Run => box.bare(['help', ...words]);
    expect(help()).toMatchObject({ status: 0, stdout: box.bare(['--help']).stdout });
    expect(help('verify')).toMatchObject({
      status: 0,
      stdout: box.bare(['verify', '--help']).stdout,
    });
    expect(help('verfy')).toMatchObject({ status: 2, stdout: '' });
    expect(help('verfy').stderr).toMatch(
      /^coffer: there is no command verfy; did you mean verify\?/,
    );
    expect(box.bare(['backup', '--help']).stdout).not.toContain('[]');
  });
});

describe('a backup fails', () => {
  it('if a volume shrinks while it is read', async () => {
    const box = await Box.full();
    const image = join(box.directory, 'appvms/work/private.img');
    // More than coffer, the agent and the pipes between them buffer while the command waits.
    writeFileSync(image, randomBytes(256 * 2 ** 20));
    const whole = join(box.directory, 'homes/usb/whole');
    const run = box.start([
      ...['backup', '-d', 'usb', '--command', ...box.secret, '-y', '--compress-filter', 'none'],
      // After so many bytes, coffer has begun to read the volume.
      ...[
        'head -c 1000000 > part; touch begun; until [ -e go ]; do sleep 0.1; done;' +
          'cat >> part && mv part whole',
        'work',
      ],
    ]);
    let said = '';
    run.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    const ended = once(run, 'close');
    await eventually(() => existsSync(join(box.directory, 'homes/usb/begun')), 'it reads');
    truncateSync(image, 128 * 2 ** 20);
    writeFileSync(join(box.directory, 'homes/usb/go'), '');
    expect(await ended).toEqual([1, null]);
    expect(said).toMatch(
      /^coffer: the volume private of work shrank while it was read: it ends at byte 134217728\n$/,
    );
    expect(existsSync(whole)).toBe(false);
  });
});

describe('a file', () => {
  it('that is not a backup is refused by list, verify and restore', async () => {
    const box = await Box.full();
    const home = join(box.directory, 'homes/usb');
    writeFileSync(join(home, 'text'), 'not a backup\n'.repeat(1000));
    writeFileSync(join(home, 'empty'), '');
    for (const command of ['list', 'verify', 'restore']) {
      const yes = command === 'restore' ? ['-y'] : [];
      const args = [command, '-d', 'usb', ...box.secret, ...yes];
      expectRefusal(box, [...args, 'nosuch'], 5, /nosuch/);
      // A directory without backups is listed.
      const none = /contains no backup that can be opened/;
      if (command !== 'list') expectRefusal(box, [...args, 'backups'], 5, none);
      expectRefusal(box, [...args, 'text'], 3, /not a backup/);
      expectRefusal(box, [...args, 'empty'], 3, /not a backup/);
      expectRefusal(box, [...args, '--command', 'exit 3'], 4, /status 3/);
    }
  });

  it('that is a damaged backup is refused, and nothing is restored from it', async () => {
    const box = await Box.full();
    const backup = box.backUp();
    const file = box.fileOf(backup);
    const whole = readFileSync(file);
    const wrong = ['restore', '-d', 'usb', '-p', '-', '-y', '--rename-conflicting'];
    expectRefusal(box, [...wrong, backup], 3, /passphrase is wrong/, 'wrong\n');
    for (const [what, damaged] of [
      ['cut', whole.subarray(0, whole.length >> 1)],
      ['cut at the end', whole.subarray(0, whole.length - 512)],
      ['changed', flipped(whole, whole.length >> 1)],
      ['changed at the end', flipped(whole, whole.length - 3000)],
    ] as const) {
      writeFileSync(file, damaged);
      const restore = ['restore', '-d', 'usb', ...box.secret, '-y', '--rename-conflicting'];
      expectRefusal(box, [...restore, backup], 3, /damaged|incomplete|backup/);
      const streamed = [...restore, '--command', `cat ${backup}`];
      expectRefusal(box, streamed, 3, /damaged|incomplete|backup/);
      expect(box.coffer(['verify', '-d', 'usb', ...box.secret, backup]), what).toMatchObject({
        status: 3,
      });
    }
  });
});

describe('a restore is refused', () => {
  it('if a name is taken, a VM is unknown or named twice, or a template is missing', async () => {
    const [box, fresh] = [await Box.full(), await Box.empty()];
    const backup = box.backUp(['-x', 'debian']);
    const restore = ['restore', '-d', 'usb', ...box.secret, '-y', backup];
    expectRefusal(box, restore, 5, /already has .*work/);
    expectRefusal(box, [...restore, 'nosuch'], 5, /no VM called nosuch/);
    expectRefusal(box, [...restore, 'nosuch*'], 5, /no VM matching nosuch\*/);
    expectRefusal(box, [...restore, 'work', 'work'], 2, /named twice/);
    const list = ['list', '-d', 'usb', '--no-contents', '--command', 'cat x'];
    expectRefusal(box, list, 2, /cannot be used with option '--command'/);

    box.copyTo(fresh, backup);
    const xml = join(fresh.directory, 'qubes.xml');
    writeFileSync(xml, readFileSync(xml, 'utf8').replaceAll('>debian<', '>fedora<'));
    const elsewhere = ['restore', '-d', 'usb', ...fresh.secret, '-y', backup];
    expectRefusal(fresh, elsewhere, 5, /template debian/);
  });
});

describe('a backup that a signal ends', () => {
  it('leaves nothing behind', async () => {
    const box = await Box.full();
    const before = box.state;
    const slow = 'cat > taken; touch begun; sleep 60';
    const begun = join(box.directory, 'homes/usb/begun');
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      const args = ['backup', '-d', 'usb', '--command', ...box.secret, '-y', slow, 'work'];
      const coffer = box.start(args);
      const ended = once(coffer, 'exit');
      await eventually(() => existsSync(begun), 'the command has taken all');
      coffer.kill(signal);
      expect(await ended).toEqual([130, null]);
      rmSync(begun);
      expect(box.state).toBe(before);
    }
  });
});

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 0x10;
  return copy;
}
