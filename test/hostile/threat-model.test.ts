import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const text = readFileSync(join(ROOT, 'docs/threat-model.md'), 'utf8');
const named = [...text.matchAll(/`((?:test|tools)\/[a-z0-9/.-]+)`/g)].map(([, path = '']) => path);

it('docs/threat-model.md only names tests that exist', () => {
  expect(named.length).toBeGreaterThan(40);
  const isThere = (path: string): boolean =>
    ['', '.test.ts', '.ts'].some((ending) => existsSync(join(ROOT, path + ending)));
  expect(named.filter((path) => !isThere(path))).toEqual([]);
});

it('docs/threat-model.md names a test and paths for each promise, and each file of test/hostile', () => {
  const rows = text.split('\n').filter((line) => /^\| [^-]/.test(line));
  const promises = rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  const tried = promises.filter(
    ([first]) => first !== 'promise' && !/kdf-cost|^\d/.test(first ?? ''),
  );
  expect(tried.length).toBeGreaterThan(25);
  for (const [promise, tests = '', paths = ''] of tried) {
    expect(tests, promise).toMatch(/`(test|tools)\/|^the same/);
    expect(paths, promise).not.toBe('');
  }
  const specs = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.test.ts'));
  const missing = specs.filter(
    (name) => !named.includes(`test/hostile/${name.replace('.test.ts', '')}`),
  );
  expect(missing).toEqual(['threat-model.test.ts']);
});
