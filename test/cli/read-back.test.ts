import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Box, type Run } from './box.ts';
import { eventsIn, lastEvent } from './events.ts';
import { SPOILS, agentThat } from './spoiling-agent.ts';

function backUp(box: Box, words: readonly string[] = [], agent?: string): Run {
  const environment = agent === undefined ? {} : { COFFER_VM_AGENT: agent };
  const all = ['backup', '-d', 'usb', ...box.secret, '-y', ...words, 'backups'];
  return box.loud(all, '', environment);
}

/** The newest backup. */
function newest(box: Box): string {
  return readdirSync(box.backups).sort().at(-1) ?? '';
}

const FORMATS = ['coffer-1', 'qubes-4'] as const;
const HOW = {
  'coffer-1': ['flipped', 'cut short', 'gone', 'an older one'],
  'qubes-4': ['flipped', 'gone'],
} as const;

describe.each(FORMATS)('a backup in the format %s', (format) => {
  const words = ['--format', format, '--kdf-cost', '14'];

  it('is read back once it is stored; the result says so, and status shows it', async () => {
    const box = await Box.full();
    const run = backUp(box, words);
    expect(run.stderr).not.toContain('warning');
    expect(run.stdout).toMatch(/^Stored and checked \S+ KiB in usb:\S+, \S+ s\.$/m);
    const json = backUp(box, [...words, '--json']);
    expect(lastEvent(json.stdout)).toMatchObject({ ok: true, checked: true });
    const phases = eventsIn(json.stdout).flatMap(({ event, phase }) =>
      event === 'phase' ? [phase] : [],
    );
    expect(phases.slice(-2)).toEqual(['sync', 'check']);
    const status = lastEvent(box.loud(['status', '--json']).stdout);
    expect(status).toMatchObject({
      qubes: expect.arrayContaining([
        expect.objectContaining({ name: 'work', check: expect.anything() as unknown }),
      ]) as unknown,
    });
  });

  it('is not read back with --no-check', async () => {
    const box = await Box.full();
    const never = agentThat('Fetch', 'process.exit(1);');
    const json = backUp(box, [...words, '--no-check', '--json'], never);
    expect(lastEvent(json.stdout)).toMatchObject({ ok: true, checked: false, warnings: [] });
  });

  it.each(HOW[format])('fails, and does not count, if what is read back is %s', async (how) => {
    const box = await Box.full();
    expect(backUp(box, words).status).toBe(0);
    const before = box.state;
    const spoiled = backUp(box, words, agentThat('Fetch', SPOILS[how], 2));
    expect(spoiled.status).toBe(3);
    expect(spoiled.stderr.replace(/\s+/g, ' ')).toContain(
      'returns something other than what was stored',
    );
    expect(spoiled.stdout).not.toContain('Stored');
    // No VM has a new backup_timestamp.
    expect(box.state).toBe(before);
  });

  it('is kept, and reported as not checked, if it cannot be read back', async () => {
    const box = await Box.full();
    const json = backUp(box, [...words, '--json'], agentThat('Fetch', 'process.exit(1);'));
    expect(json.status).toBe(4);
    expect(lastEvent(json.stdout)).toMatchObject({ event: 'result', ok: false, checked: false });
    expect(json.stderr).toContain('could not be read back');
    expect(box.coffer(['verify', '-d', 'usb', ...box.secret, 'backups'])).toMatchObject({
      status: 0,
    });
  });
});

describe('a backup of a series', () => {
  it('says in one line how much has changed, and that it was checked', async () => {
    const box = await Box.full();
    backUp(box);
    expect(backUp(box).stdout).toMatch(
      /^0 of 3 VMs changed; 0 B new, \S+ MiB already there; stored and checked in \S+ s\.$/m,
    );
  });

  it('does not count as checked if a file that it needs was deleted while it was made', async () => {
    const box = await Box.full();
    backUp(box);
    const first = newest(box);
    const pruned = backUp(box, ['--json'], agentThat('Fetch', `fs.rmSync('backups/${first}');`, 2));
    expect(pruned.status).toBe(4);
    expect(lastEvent(pruned.stdout)).toMatchObject({ ok: false, checked: false });
    expect(pruned.stderr.replace(/\s+/g, ' ')).toContain(
      `a file that it may need was deleted meanwhile: ${first}`,
    );
    expect(backUp(box).status).toBe(0);
    const verified = box.coffer(['verify', '-d', 'usb', ...box.secret, 'backups']);
    expect(verified, verified.stderr).toMatchObject({ status: 0 });
  });

  it('does not refer to a backup that was read back damaged', async () => {
    const box = await Box.full();
    backUp(box, [], agentThat('Fetch', SPOILS.flipped));
    const first = newest(box);
    const run = backUp(box);
    expect(run.status).toBe(0);
    const contents = lastEvent(
      box.loud(['list', '--json', '-d', 'usb', ...box.secret, 'backups']).stdout,
    );
    expect(contents['ok']).toBe(true);
    const fresh = await Box.empty();
    const second = newest(box);
    expect(second).not.toBe(first);
    box.copyTo(fresh, join('backups', second));
    const words = ['restore', '-d', 'usb', ...box.secret, '-y', join('backups', second), 'work'];
    expect(fresh.coffer(words)).toMatchObject({ status: 0 });
    const image = (each: Box): Buffer =>
      readFileSync(join(each.directory, 'appvms/work/private.img'));
    expect(image(fresh).equals(image(box))).toBe(true);
  });
});
