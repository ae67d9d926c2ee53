// Reads CHANGELOG.md, for packages that carry its entries in their own formats.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** The releases, newest first: { version, date (YYYY-MM-DD), changes (one line each) } for each. */
export function releases() {
  const text = readFileSync(path.join(root, 'CHANGELOG.md'), 'utf8');
  const [, ...sections] = text.split(/^## /m);
  return sections.map((section) => {
    const [heading, ...lines] = section.split('\n');
    const [, version, date] = /^(\d+\.\d+\.\d+) – (\d{4}-\d\d-\d\d)$/.exec(heading) ?? [];
    if (version === undefined) {
      throw new Error(`CHANGELOG.md: "## ${heading}" is not "## VERSION – YYYY-MM-DD"`);
    }
    const bullets = lines.join('\n').split(/^- /m).slice(1);
    return { version, date, changes: bullets.map((bullet) => bullet.replace(/\s+/g, ' ').trim()) };
  });
}

/** The release that is being built. Throws unless CHANGELOG.md begins with the version in package.json. */
export function latestRelease() {
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  const [latest] = releases();
  if (latest?.version !== version) {
    throw new Error(
      `CHANGELOG.md begins with ${latest?.version}, but package.json says ${version}`,
    );
  }
  return latest;
}

/** Noon (UTC) of the release day, in seconds since 1970: the only time that is in the packages. */
export function sourceDateEpoch() {
  return Date.parse(`${latestRelease().date}T12:00:00Z`) / 1000;
}
