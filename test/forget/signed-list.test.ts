import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync, sign } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { RefusedError } from '../../shared/errors.ts';
import { NotOfferedError } from '../../dom0-agent/transport/storage-errors.ts';
import { Dom0Storage } from '../../dom0-agent/transport/dom0-storage.ts';
import { chunkOf } from '../archive/coffer1/make-series.ts';
import { NOW, SeriesOnDisk } from './series-on-disk.ts';

const SCRIPT = fileURLToPath(new URL('../../coffer-gc.sh', import.meta.url));
const scratch = mkdtempSync(path.join(tmpdir(), 'coffer-gc-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** Storage that dom0 can only add to. */
class AppendOnlyStorage extends Dom0Storage {
  override openAssembly(): Promise<never> {
    return Promise.reject(new NotOfferedError('it assembles nothing'));
  }
  override deleteBackups(): Promise<never> {
    return Promise.reject(new NotOfferedError('it deletes nothing'));
  }
}

/** A volume of named chunks. */
function volume(names: string): Buffer {
  return Buffer.concat(Array.from(names, (name) => chunkOf(name)));
}

/** Three backups in append-only storage, and the signed list of a prune that keeps the last. */
async function listed(): Promise<{ series: SeriesOnDisk; list: string; key: string }> {
  const series = new SeriesOnDisk();
  for (const day of ['abcd', 'aBcd', 'aBCd']) {
    await series.backUp({ 'vm5/private.img': volume(day) }, { chunksInPart: 1 });
  }
  series.storage = new AppendOnlyStorage();
  const { list = '', deletions } = await series.prune({ last: 1 }, NOW, false);
  expect(deletions).toEqual([]);
  expect(series.files).toEqual([
    'coffer-forget-2031-01-01T000000',
    'day-1',
    'day-2',
    'day-3',
    'qubes-pack-2031-01-01T000000',
  ]);
  return { series, list, key: await series.publicKey() };
}

/** Three backups in append-only storage, the first one under another name. */
async function withFileNamed(name: string): Promise<SeriesOnDisk> {
  const series = new SeriesOnDisk();
  for (const day of ['abcd', 'aBcd', 'aBCd']) {
    await series.backUp({ 'vm5/private.img': volume(day) });
  }
  renameSync(path.join(series.directory, 'day-1'), path.join(series.directory, name));
  series.storage = new AppendOnlyStorage();
  return series;
}

function programPath(program: string): string {
  return execFileSync('sh', ['-c', 'command -v "$0"', program], { encoding: 'utf8' }).trim();
}

/** A directory of the programs that coffer-gc.sh uses, without one of them. */
function programsWithout(missing: string): string {
  const bin = mkdtempSync(path.join(scratch, 'programs-'));
  for (const program of 'cat cut find grep head mktemp openssl rm sed sh tail tr wc'.split(' ')) {
    if (program !== missing) symlinkSync(programPath(program), path.join(bin, program));
  }
  return bin;
}

/** Runs coffer-gc.sh with its state, as the machine with the storage does. */
class Side {
  readonly state = mkdtempSync(path.join(scratch, 'state-'));
  readonly #key = path.join(this.state, '..', `${path.basename(this.state)}.pem`);

  constructor(key: string) {
    writeFileSync(this.#key, key);
  }

  run(directory: string, shell: string, ...options: string[]) {
    return this.runWith({}, directory, shell, ...options);
  }

  /** The same, with additions to the environment. */
  runWith(env: NodeJS.ProcessEnv, directory: string, shell: string, ...options: string[]) {
    const words = [SCRIPT, '-k', this.#key, '-s', this.state, ...options, directory];
    const run = { encoding: 'utf8', env: { ...process.env, ...env } } as const;
    const { status, stdout, stderr } = spawnSync(programPath(shell), words, run);
    return { status, told: stdout + stderr };
  }

  /** Makes the state appear so many days older. */
  wait(days: number): void {
    for (const name of readdirSync(this.state)) {
      const then = Date.now() / 1000 - days * 86_400 - 60;
      utimesSync(path.join(this.state, name), then, then);
    }
  }
}

describe.each(['dash', 'bash'])('coffer-gc.sh in %s', (shell) => {
  it('deletes only the files on a signed list, seven days after it first saw the list', async () => {
    const { key, ...made } = await listed();
    using series = made.series;
    const side = new Side(key);
    expect(side.run(series.directory, shell).status).toBe(0);
    side.wait(6);
    expect(side.run(series.directory, shell).status).toBe(0);
    expect(series.files).toHaveLength(5);
    side.wait(7);
    expect(side.run(series.directory, shell, '-n').told).toContain('day-1 would be deleted');
    expect(series.files).toHaveLength(5);
    expect(side.run(series.directory, shell)).toMatchObject({ status: 0 });
    expect(series.files).toEqual(['day-3', 'qubes-pack-2031-01-01T000000']);
    expect(await series.damaged(['day-3'])).toEqual([]);
    expect(readdirSync(side.state)).toEqual([]);
  });

  it('says which of its arguments is not there', () => {
    const side = new Side('no key');
    const run = side.run(path.join(scratch, 'nowhere'), shell);
    expect(run.status).toBe(2);
    expect(run.told).toMatch(/nowhere is not a directory$/m);
    rmSync(side.state, { recursive: true });
    expect(side.run(scratch, shell).told).toMatch(/state-\S+ is not a directory: create it$/m);
  });

  it('does not call a list forged if it cannot verify it', () => {
    const directory = mkdtempSync(path.join(scratch, 'unverified-'));
    writeFileSync(path.join(directory, 'coffer-forget-1'), 'a list\n');
    const told = (key: string, programs?: string) => {
      const run = new Side(key).runWith(
        { PATH: programs ?? process.env['PATH'] },
        directory,
        shell,
      );
      expect(run.told).not.toContain('coffer-forget-1');
      return run;
    };
    expect(told('no key')).toMatchObject({ status: 1 });
    expect(told('no key').told).toMatch(/\.pem is not a public key$/m);
    const { publicKey } = generateKeyPairSync('ed25519');
    const key = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    for (const [missing, why] of [
      ['openssl', 'the program openssl is needed, but is not on this system'],
      ['find', 'the program find is needed, but is not on this system'],
    ] as const) {
      const run = told(key, programsWithout(missing));
      expect(run).toMatchObject({ status: 1, told: `coffer-gc.sh: ${why}\n` });
    }
    const old = programsWithout('openssl');
    writeFileSync(path.join(old, 'openssl'), '#!/bin/sh\necho OpenSSL 1.1.1w', { mode: 0o755 });
    expect(told(key, old).told).toContain('OpenSSL 3.0 or newer is needed');
  });

  it.each(['010', '09', '00', '-1', '1d'])('does not take %j for a number of days', (days) => {
    const side = new Side('no key');
    const run = side.run(scratch, shell, '-d', days);
    expect(run.status).toBe(2);
    expect(run.told).toContain('usage: ');
  });

  it('waits again for a list that was removed and has come back', async () => {
    const { list, key, ...made } = await listed();
    using series = made.series;
    const side = new Side(key);
    const other = 'not a record\n';
    writeFileSync(path.join(side.state, 'mine'), other);
    expect(side.run(series.directory, shell).status).toBe(0);
    side.wait(8);
    const content = series.read(list);
    rmSync(path.join(series.directory, list));
    expect(side.run(series.directory, shell).status).toBe(0);
    series.write(list, content);
    for (let run = 0; run < 2; run++) {
      expect(side.run(series.directory, shell).status).toBe(0);
      expect(series.files).toHaveLength(5);
      side.wait(6);
    }
    side.wait(7);
    expect(side.run(series.directory, shell).status).toBe(0);
    expect(series.files).toEqual(['day-3', 'qubes-pack-2031-01-01T000000']);
    expect(readdirSync(side.state)).toEqual(['mine']);
  });

  it('refuses a list that was changed or truncated, or has another signature or none', async () => {
    const { list, key, ...made } = await listed();
    using series = made.series;
    const text = series.read(list).toString('latin1');
    const other = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' });
    for (const [forged, by] of [
      [text.replace('day-1', 'day-3'), key],
      [text.replace(/\nfile [^\n]*/, ''), key],
      [text.replace(/signature .*\n/, ''), key],
      ['', key],
      [text, other.toString()],
    ] as const) {
      series.write(list, Buffer.from(forged, 'latin1'));
      const side = new Side(by);
      expect(side.run(series.directory, shell, '-d', '0').status).toBe(1);
      expect(series.files).toHaveLength(5);
    }
  });

  it('refuses a list that does not name as many files as it says at its end, though it is signed', async () => {
    const { list, ...made } = await listed();
    using series = made.series;
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const text = series
      .read(list)
      .toString('latin1')
      .replace(/\nend \d+\nsignature .*\n$/, '\nend 9\n');
    const signature = sign(null, Buffer.from(text, 'latin1'), privateKey).toString('base64');
    series.write(list, Buffer.from(`${text}signature ${signature}\n`, 'latin1'));
    const side = new Side(publicKey.export({ type: 'spki', format: 'pem' }).toString());
    const { status, told } = side.run(series.directory, shell, '-d', '0');
    expect(told).toContain('does not list as many files as it says');
    expect(status).toBe(1);
    expect(series.files).toHaveLength(5);
  });

  it('does not delete a file with another content, or a link', async () => {
    const { key, ...made } = await listed();
    using series = made.series;
    const [one, two] = ['day-1', 'day-2'].map((name) => path.join(series.directory, name));
    // One file is replaced by another backup, the other one by a link.
    series.write('day-1', series.read('day-3'));
    rmSync(two ?? '');
    symlinkSync(one ?? '', two ?? '');
    const { status, told } = new Side(key).run(series.directory, shell, '-d', '0');
    expect(status).toBe(1);
    expect(told).toContain('left alone');
    expect(series.files).toHaveLength(5);
  });

  it('ignores lists that are links, directories or too large', async () => {
    const { key, ...made } = await listed();
    using series = made.series;
    symlinkSync('/dev/zero', path.join(series.directory, 'coffer-forget-1'));
    mkdirSync(path.join(series.directory, 'coffer-forget-2'));
    writeFileSync(
      path.join(series.directory, 'coffer-forget-3'),
      Buffer.alloc(2_000_000, '\u001b'),
    );
    const { status, told } = new Side(key).run(series.directory, shell, '-d', '0');
    expect(status).toBe(1);
    expect(told).not.toContain('\u001b');
    expect(series.files).toEqual(expect.arrayContaining(['day-3']));
    expect(series.files).not.toContain('day-1');
  });
});

it.each([true, false])(
  'a file on a list is never needed again, whatever the rules of a later prune (which deletes: %s)',
  async (deletes) => {
    const { key, ...made } = await listed();
    using series = made.series;
    await series.backUp({ 'vm5/private.img': volume('aBCD') }, { chunksInPart: 1 });
    if (deletes) series.storage = new Dom0Storage();
    // By these rules alone, the first three backups would be kept, and the pack not be needed.
    const plan = await series.plan({ last: 4 });
    expect(plan.verdicts.map(({ reasons }) => reasons)).toEqual([[], [], ['last'], ['last']]);
    await series.prune({ last: 4 }, new Date(NOW.getTime() + 60_000), deletes);
    expect(new Side(key).run(series.directory, 'dash', '-d', '0').status).toBe(0);
    expect(series.files.filter((name) => name.startsWith('day'))).toEqual(['day-3', 'day-4']);
    expect(await series.damaged(['day-3', 'day-4'])).toEqual([]);
  },
);

it.each([' day', "day's", '-day', '.day', 'day\r'])(
  'a prune refuses to put a file named %j on a list, and stores nothing',
  async (name) => {
    using series = await withFileNamed(name);
    await expect(series.prune({ last: 1 }, NOW, false)).rejects.toThrow(RefusedError);
    expect(series.files).toHaveLength(3);
  },
);

it('a file name with a line feed cannot make dom0 sign that another file may be deleted', async () => {
  const id = '0'.repeat(32);
  using series = await withFileNamed(`day-1\nfile ${id} 512 day-3`);
  await expect(series.prune({ last: 1 }, NOW, false)).rejects.toThrow(`day-1?file ${id} 512 day-3`);
  expect(series.files).toHaveLength(3);
});

it('a prune without --list of storage that does not delete files is refused before it does anything', async () => {
  using series = (await listed()).series;
  await expect(series.prune({ last: 1 })).rejects.toThrow(NotOfferedError);
  expect(series.files).toHaveLength(5);
});
