import { execFile } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Qube } from '../../dom0-agent/qubes/qube.ts';
import { savedVolumes } from '../../dom0-agent/qubes/qube.ts';
import { parseQubesXml } from '../../dom0-agent/qubes/xml/parse-qubes-xml.ts';

const run = promisify(execFile);

/** The differences between two folder systems in these VMs and in dom0's home, in words; empty if there are none. */
export async function differencesOf(
  old: string,
  restored: string,
  names: readonly string[],
): Promise<string[]> {
  const [before, after] = await Promise.all([readStore(old), readStore(restored)]);
  const differences: string[] = [];
  for (const name of names) {
    const [was, is] = [before.get(name), after.get(name)];
    if (was === undefined || is === undefined) {
      differences.push(`${name} is missing`);
      continue;
    }
    if (settingsOf(was) !== settingsOf(is)) differences.push(`the settings of ${name}`);
    differences.push(...(await differingFiles(old, was, restored, is)));
  }
  return [...differences, ...(await differingHome(old, restored))];
}

async function readStore(system: string): Promise<Map<string, Qube>> {
  const { qubes } = parseQubesXml(await readFile(join(system, 'qubes.xml'), 'utf8'));
  return new Map(qubes.map((qube) => [qube.name, qube]));
}

/** Everything about a VM that is in a backup, except its volumes, as text. */
function settingsOf({ qubeClass, label, properties, features, tags, devices }: Qube): string {
  const sorted = (map: ReadonlyMap<string, string>): string[][] =>
    [...map].filter(([name]) => name !== 'backup_timestamp').sort();
  const deviceTexts = devices.map(({ fields, ...rest }) => ({ ...rest, fields: sorted(fields) }));
  return JSON.stringify([
    ...[qubeClass, label, sorted(properties), sorted(features)],
    ...[[...tags].filter((tag) => !tag.startsWith('created-by-')).sort(), deviceTexts],
  ]);
}

async function differingFiles(
  old: string,
  was: Qube,
  restored: string,
  is: Qube,
): Promise<string[]> {
  const pairs = savedVolumes(was).map(({ name, vid }) => {
    const now = is.volumes.find((volume) => volume.name === name);
    return [`${vid}.img`, `${now?.vid ?? 'missing'}.img`] as const;
  });
  const directory = pairs[0]?.[0].replace(/\/[^/]*$/, '') ?? '';
  const small = ['firewall.xml', 'notes.txt'].map((name) => join(directory, name));
  const all = [...pairs, ...small.map((path) => [path, path] as const)];
  const differing: string[] = [];
  for (const [from, to] of all) {
    if (!(await sameFile(join(old, from), join(restored, to)))) differing.push(from);
  }
  return differing;
}

/** Compares two files byte by byte, with cmp; if both are missing, they count as the same. */
async function sameFile(a: string, b: string): Promise<boolean> {
  const [hasA, hasB] = await Promise.all([exists(a), exists(b)]);
  if (!hasA || !hasB) return hasA === hasB;
  return succeeds('cmp', ['-s', a, b]);
}

async function differingHome(old: string, restored: string): Promise<string[]> {
  const [user = ''] = await readdir(join(old, 'dom0-home'));
  const [newUser = ''] = await readdir(join(restored, 'dom0-home'));
  const inHome = await readdir(join(restored, 'dom0-home', newUser));
  const target = inHome.find((name) => name.startsWith('home-restore-')) ?? 'missing';
  const homes = [join(old, 'dom0-home', user), join(restored, 'dom0-home', newUser, target)];
  const same = await succeeds('diff', ['--recursive', '--no-dereference', ...homes]);
  return same ? [] : ["dom0's home"];
}

async function exists(path: string): Promise<boolean> {
  return succeeds('test', ['-e', path]);
}

async function succeeds(program: string, args: string[]): Promise<boolean> {
  try {
    await run(program, args);
    return true;
  } catch {
    return false;
  }
}
