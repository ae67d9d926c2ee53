import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { type Server, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { otherUser } from '../other-user.ts';

const packaging = fileURLToPath(new URL('../../rpm', import.meta.url));

describe('the systemd units', () => {
  it('pass systemd-analyze', () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'coffer-units-'));
    try {
      const files = ['systemd', 'systemd-user'].flatMap((folder) =>
        readdirSync(path.join(packaging, folder)).map((unit) => [folder, unit] as const),
      );
      for (const [folder, unit] of files) {
        const text = readFileSync(path.join(packaging, folder, unit), 'utf8');
        // systemd checks that the program exists, which it does not here.
        const program = /^(ExecStart=)\/usr\/\S+/gm;
        writeFileSync(path.join(directory, unit), text.replace(program, '$1/bin/sh'));
      }
      const units = files.map(([, unit]) => `${directory}/${unit.replace('@', '@weekly')}`);
      const script = 'systemd-analyze --man=no verify "$@" 2>&1';
      expect(execFileSync('sh', ['-c', script, 'sh', ...units], { encoding: 'utf8' })).toBe('');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

it('the launcher and the unit allow no core file, which would contain the passphrase and keys', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'coffer-launcher-'));
  try {
    const launcher = readFileSync(path.join(packaging, 'launcher.sh'), 'utf8')
      .replaceAll('@PROGRAM@', 'coffer')
      .replace('@VERSIONS@', '22 20')
      .replace('@START@', readFileSync(path.join(packaging, '../tools/build/start.sh'), 'utf8'))
      .replaceAll('/usr/bin/node', path.join(directory, 'node'));
    for (const node of ['node', 'node-20']) {
      const script = `#!/bin/sh\necho ${node} "$(ulimit -S -c) $(ulimit -H -c)" "$@"\n`;
      writeFileSync(path.join(directory, node), script, { mode: 0o755 });
      const words = ['-c', `ulimit -S -c "$(ulimit -H -c)"\n${launcher}`, 'coffer', 'list', 'a b'];
      const said = execFileSync('sh', words, { encoding: 'utf8' });
      expect(said).toBe(`${node} 0 0 --no-incremental-marking /usr/share/coffer/coffer list a b\n`);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
  const unit = readFileSync(path.join(packaging, 'systemd/coffer-backup@.service'), 'utf8');
  expect(unit).toMatch(/^LimitCORE=0$/m);
});

it("a timer's backup is followed by a prune by its profile if it succeeded", () => {
  const unit = readFileSync(path.join(packaging, 'systemd/coffer-backup@.service'), 'utf8');
  // A oneshot unit runs a command only if the previous one succeeded.
  expect(unit).toMatch(/^Type=oneshot$/m);
  expect([...unit.matchAll(/^ExecStart=(.*)$/gm)].map(([, command]) => command)).toEqual([
    '/usr/bin/coffer backup --profile %i --yes --quiet',
    '/usr/bin/coffer prune --profile %i --yes --quiet',
  ]);
});

it('a timer catches up on a missed backup, with a random delay', () => {
  const timer = readFileSync(path.join(packaging, 'systemd/coffer-backup@.timer'), 'utf8');
  expect(timer).toMatch(/^Persistent=true$/m);
  expect(timer).toMatch(/^RandomizedDelaySec=/m);
});

it("a timer's backup that fails starts the notification unit for its profile", () => {
  const backup = readFileSync(path.join(packaging, 'systemd/coffer-backup@.service'), 'utf8');
  expect(backup).toMatch(/^OnFailure=coffer-failure@%i\.service$/m);
  const failure = readFileSync(path.join(packaging, 'systemd/coffer-failure@.service'), 'utf8');
  expect(failure).toMatch(/^ExecStart=\/usr\/share\/coffer\/notify-failure %i$/m);
  // ProtectHome would hide /run/user, where the buses of the sessions are.
  expect(failure).not.toMatch(/^ProtectHome=/m);
});

describe('the notification of a failure', () => {
  let directory: string;
  let bus: Server;
  beforeEach(async () => {
    directory = mkdtempSync(path.join(tmpdir(), 'coffer-notify-'));
    const uid = `${otherUser.uid ?? process.getuid?.() ?? 0}`;
    mkdirSync(path.join(directory, 'run', uid), { recursive: true });
    // A directory in place of a bus is ignored.
    mkdirSync(path.join(directory, 'run/12345/bus'), { recursive: true });
    bus = createServer().listen(path.join(directory, 'run', uid, 'bus'));
    await once(bus, 'listening');
    mkdirSync(path.join(directory, 'told'));
    chmodSync(directory, 0o755);
    chmodSync(path.join(directory, 'told'), 0o777);
  });
  afterEach(() => {
    bus.close();
    rmSync(directory, { recursive: true });
  });

  /** Runs notify-failure with this notify-send and systemctl, or without. */
  const run = (notifySend?: string, systemctl?: string): number | null => {
    const bin = path.join(directory, 'bin');
    mkdirSync(bin);
    for (const program of ['basename', 'dirname', 'id', 'sed', 'setpriv', 'timeout', 'sh', 'cat']) {
      const found = execFileSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' });
      symlinkSync(found.trim(), path.join(bin, program));
    }
    if (notifySend !== undefined) {
      writeFileSync(path.join(bin, 'notify-send'), notifySend, { mode: 0o755 });
    }
    if (systemctl !== undefined) {
      writeFileSync(path.join(bin, 'systemctl'), systemctl, { mode: 0o755 });
    }
    const words = ['weekly', path.join(directory, 'run')];
    const script = path.join(packaging, 'notify-failure');
    return spawnSync(script, words, { env: { PATH: bin }, encoding: 'utf8' }).status;
  };
  const told = (): string[] => readdirSync(path.join(directory, 'told'));

  it('is shown on the desktop of each user, as that user, and names the profile', () => {
    const file = `${directory}/told/$(id -u)`;
    expect(run(`#!/bin/sh\nprintf '%s\\n' "$DBUS_SESSION_BUS_ADDRESS" "$@" > "${file}"\n`)).toBe(0);
    const uid = `${otherUser.uid ?? process.getuid?.() ?? 0}`;
    expect(told()).toEqual([uid]);
    const said = readFileSync(path.join(directory, 'told', uid), 'utf8');
    expect(said).toContain(`unix:path=${directory}/run/${uid}/bus\n`);
    expect(said).toContain('profile weekly failed');
    expect(said).toContain('journalctl -u coffer-backup@weekly');
  });

  it('says that the backup was postponed if coffer refused to begin it, but not if the prune was refused', () => {
    const file = `${directory}/told/$(id -u)`;
    const notifySend = `#!/bin/sh\nprintf '%s\\n' "$@" > "${file}"\n`;
    const ran = (status: number): string =>
      `{ path=/usr/bin/coffer ; code=exited ; status=${status} }`;
    const uid = `${otherUser.uid ?? process.getuid?.() ?? 0}`;
    for (const [first, then, said] of [
      [5, 0, 'A backup was postponed\nThe backup with the profile weekly could not begin.'],
      [0, 5, 'A backup failed\nThe backup with the profile weekly failed.'],
    ] as const) {
      const systemctl = `#!/bin/sh\necho '${ran(first)}'\necho '${ran(then)}'\n`;
      expect(run(notifySend, systemctl)).toBe(0);
      expect(readFileSync(path.join(directory, 'told', uid), 'utf8')).toContain(said);
      rmSync(path.join(directory, 'bin'), { recursive: true });
    }
  });

  it('is not an error without notify-send, or if that fails', () => {
    expect(run()).toBe(0);
    rmSync(path.join(directory, 'bin'), { recursive: true });
    expect(run('#!/bin/sh\nexit 1\n')).toBe(0);
    expect(told()).toEqual([]);
  });
});

it('the unit lets the process live that cleans up after a killed coffer', () => {
  const unit = readFileSync(path.join(packaging, 'systemd/coffer-backup@.service'), 'utf8');
  expect(unit).toMatch(/^KillMode=process$/m);
});

describe('the qrexec policy', () => {
  const lines = readFileSync(path.join(packaging, '50-coffer.policy'), 'utf8').split('\n');
  const rules = lines.filter((line) => !/^(#.*)?$/.test(line)).map((line) => line.split(/\s+/));
  const services = readdirSync(path.join(packaging, 'qubes-rpc'));

  it('denies each service to every qube, in other qubes and in dom0, and has no other rules', () => {
    const names = ['Assemble', 'Browse', 'Delete', 'Fetch', 'Store'];
    expect(services.sort()).toEqual(names.map((name) => `coffer.${name}`));
    // In a qrexec policy, @anyvm does not include dom0.
    const expected = services.flatMap((service) =>
      ['@adminvm', '@anyvm'].map((target) => [service, '*', '@anyvm', target, 'deny']),
    );
    expect(rules.map((rule) => rule.join(' ')).sort()).toEqual(
      expected.map((rule) => rule.join(' ')).sort(),
    );
  });
});

describe('the scripts', () => {
  it('pass shellcheck', () => {
    const services = readdirSync(path.join(packaging, 'qubes-rpc')).map(
      (name) => `qubes-rpc/${name}`,
    );
    const scripts = ['stage.sh', 'check.sh', 'vm-service', 'notify-failure', ...services];
    execFileSync('shellcheck', scripts, { cwd: packaging });
    execFileSync('shellcheck', ['test-on-node.sh', 'setup.sh'], { cwd: `${packaging}/../tools` });
    const through = ['through/coffer-rclone', 'through/coffer-ssh'];
    execFileSync('shellcheck', through, { cwd: `${packaging}/../vm-agent` });
    const launcher = readFileSync(path.join(packaging, 'launcher.sh'), 'utf8');
    const input = launcher
      .replaceAll('@PROGRAM@', 'coffer')
      .replace('@VERSIONS@', '22 20')
      .replace('@START@', readFileSync(path.join(packaging, '../tools/build/start.sh'), 'utf8'));
    execFileSync('shellcheck', ['-'], { input });
  });
});
