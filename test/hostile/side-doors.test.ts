import { spawn } from 'node:child_process';
import { createHmac, scryptSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { expectedOfFixtures, fixture } from '../archive/official-archives.ts';
import { Box, PASSPHRASE } from '../cli/box.ts';
import { Arena, expectTameOutput, runCoffer } from './arena.ts';
import { type Sight, filesOf, watchTree } from './process-tree.ts';
import { piecesOf } from './splices.ts';
import { ready, validFrame } from './wire.ts';
import { lastEvent } from '../cli/events.ts';

const COFFER = fileURLToPath(new URL('../../dist/coffer', import.meta.url));

/** Runs coffer, and observes it and its children from outside meanwhile. */
async function watch(box: Box, args: readonly string[], umask = '022'): Promise<Sight[]> {
  const [command = '', ...rest] = args;
  const words = [COFFER, command, '--system', box.directory, ...box.secret, ...rest];
  const child = spawn('sh', ['-c', `umask ${umask}; exec "$@"`, 'sh', ...words], {
    stdio: ['ignore', 'ignore', 'pipe'],
    // Without the module that the tests preload, whose files would be seen.
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
  const over = new AbortController();
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const watched = watchTree(child.pid ?? 0, over.signal);
  expect(await ended, complaint).toBe(0);
  over.abort();
  return watched;
}

/** The passphrase and all keys of an archive, in the ways in which they could be written. */
function secretsOf(archive: Buffer): string[] {
  const pieces = piecesOf(archive);
  const header = pieces[0]?.content.toString() ?? '';
  const field = (key: string): string => new RegExp(`^${key}=(.*)$`, 'm').exec(header)?.[1] ?? '';
  const salt = Buffer.from(field('kdf-salt'), 'hex');
  const cost = { N: Number(field('kdf-n')), r: 8, p: 1, maxmem: 2 ** 28 };
  const root = scryptSync(PASSPHRASE, salt, 64, cost);
  const wrapped = Buffer.from(field('series-key'), 'hex');
  const macKey = expand(root, `coffer-1 wrap mac ${field('series-id')}`);
  const mac = createHmac('sha512', macKey).update(wrapped).digest('hex');
  expect(mac, 'these are the keys of the archive').toBe(field('series-key-mac'));
  const pad = expand(root, `coffer-1 wrap enc ${field('series-id')}`);
  const seriesKey = Buffer.from(wrapped.map((byte, i) => byte ^ (pad[i] ?? 0)));
  const keys = pieces.flatMap(({ name }) =>
    ['mac', 'enc'].map((purpose) =>
      expand(seriesKey, `coffer-1 ${purpose} ${field('backup-id')} ${name}`),
    ),
  );
  return [Buffer.from(PASSPHRASE), root, seriesKey, ...keys].flatMap(spellingsOf);
}

/** The beginning of a secret in the ways in which it could be written, long enough not to occur by chance. */
function spellingsOf(secret: Buffer): string[] {
  return [
    secret.toString('hex').slice(0, 48),
    secret.toString('base64').slice(0, 32),
    secret.toString('latin1').slice(0, 24),
  ];
}

/** The first 64 bytes of HKDF-Expand, which are a single HMAC: docs/archive-format.md. */
function expand(key: Buffer, info: string): Buffer {
  return createHmac('sha512', key).update(`${info}\u0001`).digest();
}

function expectSecrecy(sights: readonly Sight[], archive: Buffer): void {
  expectHidden(sights, secretsOf(archive));
}

function expectHidden(sights: readonly Sight[], secrets: readonly string[]): void {
  const all = JSON.stringify(sights);
  for (const secret of secrets) {
    expect(all.includes(JSON.stringify(secret).slice(1, -1)), 'a secret is to be seen').toBe(false);
  }
}

/** The processes that were seen, by the names of their programs. */
function programs(sights: readonly Sight[]): string {
  return sights.map(({ arguments: words }) => words.replaceAll('\0', ' ')).join('\n');
}

describe('an observer of the processes', () => {
  it('of a backup and a restore sees no secret and no temporary file', async () => {
    const [full, empty] = [await Box.full(), await Box.empty()];
    const args = ['-d', 'usb', '-y', '--kdf-cost', '16', '-x', 'debian', 'backups'];
    const backup = await watch(full, ['backup', ...args]);
    const [name = ''] = readdirSync(full.backups);
    const archive = readFileSync(join(full.backups, name));
    expect(programs(backup)).toMatch(/zstd/);
    expect(programs(backup)).toMatch(/coffer-vm-agent Store/);
    expectSecrecy(backup, archive);

    writeFileSync(join(empty.backups, 'one'), archive);
    const restore = await watch(empty, ['restore', '-d', 'usb', '-y', 'backups/one']);
    expect(programs(restore)).toMatch(/coffer-vm-agent Fetch/);
    expectSecrecy(restore, archive);

    // There are no temporary files: every open file belongs to the system or to the two boxes, or was open in the process
    // of the tests. tar has its working directory open.
    const inherited = new Set(filesOf(process.pid));
    const files = new Set([...backup, ...restore].flatMap((sight) => sight.files));
    const strange = [...files].filter(
      (file) =>
        file.startsWith('/') &&
        !inherited.has(file) &&
        !/^\/(dev|proc|usr|lib|etc|sys)\//.test(file) &&
        ![full.directory, empty.directory, COFFER].some((own) => file.startsWith(own)) &&
        !file.includes('/dist/') &&
        file !== process.cwd(),
    );
    expect(strange).toEqual([]);
  });

  it.each(['qubes4-zstd', 'qubes3-encrypted', 'qubes2-encrypted'])(
    'of a verification of %s sees no passphrase',
    async (name) => {
      const box = await Box.full();
      writeFileSync(join(box.backups, 'official'), fixture(`${name}.backup`));
      expect(expectedOfFixtures().passphrase).toBe(PASSPHRASE);
      const sights = await watch(box, ['verify', '-d', 'usb', 'backups/official']);
      expect(programs(sights)).toMatch(/coffer-vm-agent Fetch/);
      expectHidden(sights, spellingsOf(Buffer.from(PASSPHRASE)));
    },
  );

  it('of a backup in format 4 sees no passphrase', async () => {
    const box = await Box.full();
    const args = ['-d', 'usb', '-y', '--format', 'qubes-4', 'backups', 'vault'];
    expectHidden(await watch(box, ['backup', ...args]), spellingsOf(Buffer.from(PASSPHRASE)));
  });

  it('sees a secret in the environment of a process', async () => {
    const over = new AbortController();
    const child = spawn('sleep', ['5'], { env: { SECRET: PASSPHRASE } });
    await once(child, 'spawn');
    setTimeout(() => over.abort(), 1_000);
    const sights = await watchTree(child.pid ?? 0, over.signal);
    child.kill();
    expect(sights.some(({ environment }) => environment.includes(PASSPHRASE))).toBe(true);
  });
});

describe('the storage VM', () => {
  it("gets only the name of the service as an argument, and nothing of dom0's environment", async () => {
    const arena = await Arena.open(await Box.full());
    await arena.fight({ Store: [{ hear: 'storeRequest' }, { end: 1 }] }, ['backup', 'backups']);
    const { notes } = arena;
    expect(notes.map(({ argv }) => argv.slice(1))).toEqual([
      [arena.agent, 'Browse'],
      // Listed again under the lock, when no other backup can be running.
      [arena.agent, 'Browse'],
      [arena.agent, 'Store'],
    ]);
    for (const { environment } of notes) {
      expect(Object.keys(environment).sort()).toEqual(['HOME', 'PATH']);
    }
  });

  it('learns from an archive the number and sizes of files, but no content and no name of a VM or user', async () => {
    const box = await Box.full();
    const archive = readFileSync(box.fileOf(box.backUp(['-x', 'debian'])));
    const path =
      /^(backup-header|qubes\.xml|data|parts|ids|manifest|vm\d+\/\w+\.\w+|dom0-home\/home)(\.\d{3,})?(\.hmac)?$/;
    const names = piecesOf(archive).map(({ name }) => name);
    expect(names.length).toBeGreaterThan(10);
    expect(names.filter((name) => !path.test(name))).toEqual([]);
    for (const word of ['quarterly reports', 'Dear reader', 'vault.desktop', 'AppVM', 'debian']) {
      expect(archive.includes(word), word).toBe(false);
    }
  });

  it('learns from a backup in format 4 also the name of dom0’s user, and nothing more', async () => {
    const box = await Box.full();
    const made = box.backUp(['--format', 'qubes-4', '-x', 'debian', '-x', 'work']);
    const archive = readFileSync(box.fileOf(made));
    const path =
      /^(backup-header(\.hmac)?|(qubes\.xml|coffer-manifest|vm\d+\/\w+\.\w+|dom0-home\/user)\.\d{3}\.enc)$/;
    const names = piecesOf(archive).map(({ name }) => name);
    expect(names).toContain('dom0-home/user.000.enc');
    expect(names.filter((name) => !path.test(name))).toEqual([]);
    for (const word of ['Dear reader', 'vault.desktop', 'AppVM', 'debian']) {
      expect(archive.includes(word), word).toBe(false);
    }
  });

  it('runs the command with nothing from the archive in its arguments or environment', async () => {
    const box = await Box.full();
    const command = 'tr "\\0" "\\n" </proc/$$/cmdline >words; env | sort >environment; cat >stored';
    const run = box.coffer(['backup', '-d', 'usb', ...box.secret, '-y', '--command', command]);
    expect(run.status, run.stderr).toBe(0);
    const home = join(box.directory, 'homes/usb');
    expect(readFileSync(join(home, 'words'), 'utf8')).toBe(`/bin/sh\n-c\n${command}\n`);
    const environment = readFileSync(join(home, 'environment'), 'utf8').trim().split('\n');
    const names = environment.map((line) => line.replace(/=.*/, ''));
    expect(names.filter((name) => !['HOME', 'PATH', 'PWD', 'OLDPWD', '_'].includes(name))).toEqual(
      [],
    );
    expect(statSync(join(home, 'stored')).size).toBeGreaterThan(300_000);
  });
});

describe('what coffer leaves in dom0', () => {
  it('is private to its user, whatever the umask', async () => {
    const box = await Box.full();
    const target = join(box.directory, 'target');
    mkdirSync(target);
    await watch(box, ['backup', '-y', '--kdf-cost', '14', '-x', 'debian', target], '000');
    const [name = ''] = readdirSync(target);
    expect(statSync(join(target, name)).mode & 0o777).toBe(0o600);

    await watch(box, ['restore', '-y', join(target, name), 'dom0'], '000');
    const restored = readdirSync(box.home).filter((each) => each.startsWith('home-restore-'));
    expect(restored).toHaveLength(1);
    expect(statSync(join(box.home, restored[0] ?? '')).mode & 0o777).toBe(0o700);
  });

  it('contains no passphrase, neither right nor wrong, in errors or JSON', async () => {
    const arena = await Arena.open(await Box.full());
    const { box } = arena;
    const location = box.backUp(['-x', 'debian']);
    const wrong = join(box.directory, 'wrong');
    writeFileSync(wrong, 'a wrong secret\n');
    for (const file of [box.passphraseFile, wrong]) {
      for (const command of ['list', 'verify']) {
        const bout = await runCoffer(box, [command, '-d', 'usb', '-p', file, '--json', location]);
        expectTameOutput(bout);
        expect(bout.stdout + bout.stderr).not.toContain('a wrong secret');
        expect(lastEvent(bout.stdout)).toHaveProperty('event', file === wrong ? 'error' : 'result');
      }
    }
  });

  it('is nothing if a backup fails', async () => {
    const arena = await Arena.open(await Box.full());
    const before = arena.box.state;
    const steps = [
      { hear: 'storeRequest' },
      { say: validFrame(ready()) },
      { take: 10_000 },
      { end: 1 },
    ];
    const bout = await arena.fight({ Store: steps }, ['backup', 'backups']);
    expect(bout.status).toBe(4);
    expect(arena.box.state).toBe(before);
  });
});
