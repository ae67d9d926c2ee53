import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** `regressions/<target>/<hash>`: the inputs that once broke a promise. */
const DIRECTORY = fileURLToPath(new URL('regressions/', import.meta.url));

/** The inputs that once broke a promise of a target. */
export function regressionsOf(target: string): Buffer[] {
  const names = readdirSync(DIRECTORY, { recursive: true }) as string[];
  return names
    .filter((name) => name.startsWith(`${target}/`))
    .map((name) => readFileSync(join(DIRECTORY, name)));
}

/** Keeps an input; returns its path. */
export function keepRegression(target: string, input: Buffer): string {
  const name = createHash('sha256').update(input).digest('hex').slice(0, 16);
  mkdirSync(join(DIRECTORY, target), { recursive: true });
  const path = join(DIRECTORY, target, name);
  writeFileSync(path, input);
  return path;
}
