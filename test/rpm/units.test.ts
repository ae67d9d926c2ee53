import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const packaging = fileURLToPath(new URL('../../rpm', import.meta.url));

describe('the systemd units', () => {
  it('are right for systemd', () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'coffer-units-'));
    try {
      for (const unit of readdirSync(path.join(packaging, 'systemd'))) {
        const text = readFileSync(path.join(packaging, 'systemd', unit), 'utf8');
        // systemd looks whether the program is there, which is another test's matter.
        writeFileSync(path.join(directory, unit), text.replace('/usr/bin/coffer ', '/bin/sh '));
      }
      const units = ['service', 'timer'].map((kind) => `${directory}/coffer-backup@weekly.${kind}`);
      const script = 'systemd-analyze --man=no verify "$@" 2>&1';
      expect(execFileSync('sh', ['-c', script, 'sh', ...units], { encoding: 'utf8' })).toBe('');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

it('a program that is started leaves no core, which would hold passphrase and keys', () => {
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
      expect(said).toBe(`${node} 0 0 /usr/share/coffer/coffer list a b\n`);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
  const unit = readFileSync(path.join(packaging, 'systemd/coffer-backup@.service'), 'utf8');
  expect(unit).toMatch(/^LimitCORE=0$/m);
});

it('systemd leaves those alone that clean up after a coffer that was killed', () => {
  const unit = readFileSync(path.join(packaging, 'systemd/coffer-backup@.service'), 'utf8');
  expect(unit).toMatch(/^KillMode=process$/m);
});

describe('the policy', () => {
  const lines = readFileSync(path.join(packaging, '50-coffer.policy'), 'utf8').split('\n');
  const rules = lines.filter((line) => !/^(#.*)?$/.test(line)).map((line) => line.split(/\s+/));
  const services = readdirSync(path.join(packaging, 'qubes-rpc'));

  it('denies each service to every qube, in other qubes and in dom0, and says nothing else', () => {
    expect(services.sort()).toEqual(['coffer.Browse', 'coffer.Fetch', 'coffer.Store']);
    // @anyvm is not dom0, in qrexec's policy.
    const expected = services.flatMap((service) =>
      ['@adminvm', '@anyvm'].map((target) => [service, '*', '@anyvm', target, 'deny']),
    );
    expect(rules.map((rule) => rule.join(' ')).sort()).toEqual(
      expected.map((rule) => rule.join(' ')).sort(),
    );
  });
});

describe('the scripts', () => {
  it('are good shell', () => {
    const services = readdirSync(path.join(packaging, 'qubes-rpc')).map(
      (name) => `qubes-rpc/${name}`,
    );
    const scripts = ['stage.sh', 'check.sh', 'vm-service', ...services];
    execFileSync('shellcheck', scripts, { cwd: packaging });
    execFileSync('shellcheck', ['test-on-node.sh', 'setup.sh'], { cwd: `${packaging}/../tools` });
    const launcher = readFileSync(path.join(packaging, 'launcher.sh'), 'utf8');
    const input = launcher
      .replaceAll('@PROGRAM@', 'coffer')
      .replace('@VERSIONS@', '22 20')
      .replace('@START@', readFileSync(path.join(packaging, '../tools/build/start.sh'), 'utf8'));
    execFileSync('shellcheck', ['-'], { input });
  });
});
