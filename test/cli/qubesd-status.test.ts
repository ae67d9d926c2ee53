import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { beforeAll, describe, expect, it } from 'vitest';
import { recordFilesInDom0 } from '../../dom0-agent/cli/open-system.ts';
import { Dom0, STORAGE_VM } from '../qubesd/dom0.ts';
import { build } from './qubesd-build.ts';
import { eventsIn, lastEvent } from './events.ts';

const COFFER = new URL('../../dist/coffer', import.meta.url).pathname;

beforeAll(build);

interface Status {
  qubes: { name: string; state: string; created: string | null; location: string | null }[];
}

describe('coffer status in dom0', () => {
  it('shows when a VM was backed up, even if the record of backups is lost', async () => {
    const COFFER_STATE = mkdtempSync(join(tmpdir(), 'coffer-state-'));
    await using dom0 = await Dom0.make();
    const environment = { ...dom0.environment(), COFFER_STATE };
    const run = async (...words: string[]): Promise<string> => {
      const child = spawn(COFFER, words, {
        env: environment,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      return text(child.stdout);
    };
    const work = async (): Promise<Status['qubes'][0] | undefined> => {
      const { qubes } = lastEvent(await run('status', '--json')) as unknown as Status;
      return qubes.find(({ name }) => name === 'work');
    };
    try {
      const backup = dom0.words(['backup', '-q', '-y', '-d', STORAGE_VM, '.', 'work']);
      const former = await work();
      await run(...backup);
      const noted = await work();
      expect(noted?.state).toBe('backed up');
      expect(noted?.location).toMatch(new RegExp(`^${STORAGE_VM}:.*/${dom0.stored().at(-1)}$`));
      expect(noted?.created).not.toBe(former?.created);
      expect(readFileSync(join(COFFER_STATE, 'backups.json'), 'utf8')).toContain('"work"');

      rmSync(join(COFFER_STATE, 'backups.json'));
      expect(await work()).toEqual({ ...noted, location: null, check: null });
    } finally {
      rmSync(COFFER_STATE, { recursive: true });
    }
  });
});

describe('the change of a VM since its last backup, in dom0', () => {
  it('is detected in its volumes, and shown in the plan and by status', async () => {
    await using dom0 = await Dom0.make();
    const image = dom0.image('work', 'private');
    // A file that was written to just now could be written to again without a change of its time.
    const settled = (): Promise<void> =>
      new Promise((resolve) => {
        setTimeout(resolve, Math.max(0, statSync(image).ctimeMs + 2100 - Date.now()));
      });
    const sinceLast = async (...command: string[]): Promise<unknown> => {
      const run = await dom0.coffer(command);
      const told = eventsIn(run.stdout).filter(({ event }) => ['plan', 'result'].includes(event));
      const { qubes = [] } = told[0] as { qubes?: { name: string; sinceLast: unknown }[] };
      return qubes.find(({ name }) => name === 'work')?.sinceLast;
    };
    await settled();
    await dom0.backUp('work');
    const again = ['backup', '--json', '-y', '-d', STORAGE_VM, '.', 'work'];
    expect(await sinceLast('status', '--json')).toBe('unchanged');
    expect(await sinceLast(...again)).toBe('unchanged');
    writeFileSync(image, 'other', { flag: 'r+' });
    await settled();
    expect(await sinceLast('status', '--json')).toBe('changed');
    expect(await sinceLast(...again)).toBe('changed');
  });
});

describe('the file of the record of backups in dom0', () => {
  const ofRoot = '/var/lib/coffer/backups.json';

  it.each([
    ['of root is in /var/lib', {}, 0, ofRoot, []],
    [
      'of a user is in their home, and root’s is read, too',
      {},
      1000,
      join(homedir(), '.local/state/coffer/backups.json'),
      [ofRoot],
    ],
    [
      'follows XDG_STATE_HOME',
      { XDG_STATE_HOME: '/state' },
      1000,
      '/state/coffer/backups.json',
      [ofRoot],
    ],
    [
      'ignores a relative XDG_STATE_HOME',
      { XDG_STATE_HOME: 'state' },
      1000,
      join(homedir(), '.local/state/coffer/backups.json'),
      [ofRoot],
    ],
    [
      'is in COFFER_STATE if that is set',
      { COFFER_STATE: '/elsewhere' },
      0,
      '/elsewhere/backups.json',
      [],
    ],
  ])('%s', (_, environment, uid, own, others) => {
    expect(recordFilesInDom0(environment, uid)).toEqual({ own, others });
  });
});
