import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { commandsOfCoffer, repository, version } from './build-packages.ts';

const inDist = (file: string): string => path.join(repository, 'dist', file);

beforeAll(() => {
  for (const script of ['tools/build/build', 'rpm/manual']) {
    execFileSync(process.execPath, [path.join(repository, `${script}.mjs`)]);
  }
});

/** The commands with their long options, as --help shows them. */
let grammar: [string, string[]][];
beforeAll(() => {
  grammar = readGrammar();
});

function coffer(...words: string[]): string {
  return execFileSync(inDist('coffer'), words, { encoding: 'utf8' });
}

/** The text of a manual page, on one line. */
function read(page: string): string {
  const lines = ['-man', '-Tutf8', '-ww', '-rLL=200n', '-P-c', inDist(`man/${page}`)];
  const shown = execFileSync('groff', lines, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return shown
    .replace(/.\u0008/g, '')
    .replaceAll('‐', '-')
    .replaceAll('−', '-')
    .replace(/\s+/g, ' ');
}

function readGrammar(): [string, string[]][] {
  return commandsOfCoffer().map((command) => {
    const options = coffer(command, '--help').matchAll(/^ {2}(?:-\w, )?(--[a-z0-9-]+)/gm);
    return [command, [...options].map(([, option = '']) => option)];
  });
}

describe('the manual pages of coffer', () => {
  it('are formatted by groff without a warning', () => {
    for (const page of readdirSync(inDist('man')).filter((name) => name.endsWith('.1'))) {
      const words = ['-man', '-Tutf8', '-ww', '-z', inDist(`man/${page}`)];
      const script = 'exec groff "$@" 2>&1';
      expect(execFileSync('sh', ['-c', script, 'sh', ...words], { encoding: 'utf8' })).toBe('');
      expect(readFileSync(inDist(`man/${page}`), 'utf8')).not.toMatch(/@[A-Z]+@/);
    }
  });

  it('name every command in coffer(1), with an example', () => {
    const manual = read('coffer.1');
    expect(grammar.map(([command]) => command)).toEqual(
      expect.arrayContaining(['backup', 'list', 'verify', 'restore']),
    );
    for (const [command] of grammar) {
      expect(manual).toContain(`coffer-${command}(1)`);
      expect(manual).toContain(` coffer ${command} `);
    }
  });

  it('have the options and examples of --help for each command', () => {
    for (const [command, options] of grammar) {
      const page = read(`coffer-${command}.1`);
      for (const option of options) expect(page).toContain(option);
      const [, examples = ''] = coffer(command, '--help').split('Examples:');
      const lines = examples.trim().split('\n');
      expect(lines.length).toBeGreaterThan(1);
      for (const line of lines) expect(page).toContain(line.trim().replace(/\s+/g, ' '));
    }
  });

  it('have the exit statuses of --help in coffer(1)', () => {
    const [, statuses = ''] = coffer('--help').split('Exit status:\n');
    const manual = read('coffer.1');
    expect(statuses.trim().split('\n').length).toBeGreaterThan(5);
    for (const line of statuses.trim().split('\n')) {
      expect(manual).toContain(line.trim().replace(/\s+/g, ' '));
    }
  });
});

describe('coffer-vm-agent(1)', () => {
  it('names the same services as the agent', () => {
    const script = '"$1" 2>&1 || true';
    const usage = execFileSync('sh', ['-c', script, 'sh', inDist('coffer-vm-agent')], {
      encoding: 'utf8',
    });
    const [, synopsis = ''] = /Usage: (.*)/.exec(usage) ?? [];
    expect(synopsis).toContain('Store|Fetch|Browse');
    expect(read('coffer-vm-agent.1')).toContain(synopsis);
  });
});

describe('CHANGELOG.md', () => {
  it('begins with the version of package.json', () => {
    const changelog = readFileSync(path.join(repository, 'CHANGELOG.md'), 'utf8');
    expect(/^## (\S+)/m.exec(changelog)?.[1]).toBe(version);
  });
});
