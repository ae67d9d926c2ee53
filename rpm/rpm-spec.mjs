import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundledPackages } from './bundled-packages.mjs';
import { latestRelease, releases, sourceDateEpoch } from './changelog.mjs';
import { PACKAGER, PROJECT_URL } from './packager.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** The text of rpm/coffer.spec, with its placeholders replaced. */
export async function rpmSpec() {
  const dom0 = await bundledPackages('dom0');
  const vm = await bundledPackages('vm');
  const values = {
    VERSION: latestRelease().version,
    URL: PROJECT_URL,
    EPOCH: String(sourceDateEpoch()),
    LICENSE_DOM0: licenceOf(dom0),
    LICENSE_VM: licenceOf(vm),
    BUNDLED_DOM0: provides(dom0),
    BUNDLED_VM: provides(vm),
    CHANGELOG: changelog(),
  };
  const template = readFileSync(path.join(root, 'rpm/coffer.spec'), 'utf8');
  const withoutNote = template.replace(/^(#.*\n)+\n/, '');
  return withoutNote.replace(/@([A-Z_0-9]+)@/g, (_, name) => {
    if (!(name in values)) throw new Error(`rpm/coffer.spec: nothing is known of @${name}@`);
    return values[name];
  });
}

/** The licences of our own code and of what is bundled with it, as an SPDX expression. */
function licenceOf(packages) {
  const others = new Set(packages.map(({ license }) => license));
  return ['GPL-2.0-or-later', ...[...others].sort()].join(' AND ');
}

function provides(packages) {
  return packages
    .map(({ name, version }) => `Provides:       bundled(npm(${name})) = ${version}`)
    .join('\n');
}

function changelog() {
  return releases()
    .map(({ version, date, changes }) => {
      const lines = changes.map((change) => `- ${change.replaceAll('%', '%%')}`);
      return [`* ${rpmDay(date)} ${PACKAGER} - ${version}-1`, ...lines].join('\n');
    })
    .join('\n\n');
}

/** `2026-11-23` as `Mon Nov 23 2026`. */
function rpmDay(date) {
  return new Date(`${date}T12:00:00Z`)
    .toUTCString()
    .replace(/^(\w+), (\d+) (\w+) (\d+) .*/, '$1 $3 $2 $4');
}
