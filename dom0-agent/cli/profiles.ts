import { ExitStatus } from '../../shared/errors.ts';
import { formatSpan } from '../forget/period.ts';
import { pathThrough } from '../transport/location.ts';
import type { OutputFlags } from './archive-options.ts';
import { CommandReport } from './command-report.ts';
import { type ListedProfile, listProfiles } from './profile-files.ts';
import type { Profile } from './profile.ts';
import { formatTable } from './table.ts';

/** `coffer profiles`. Returns the exit status. */
export async function profilesCommand(flags: OutputFlags): Promise<number> {
  using report = new CommandReport(flags);
  const profiles = await listProfiles();
  report.say(
    profiles.length === 0
      ? 'There are no profiles: coffer backup --save-profile NAME writes one.'
      : formatTable(['profile', 'of', 'to', 'VMs', 'keeps', ''], profiles.map(rowOf)),
  );
  report.result({
    ok: true,
    command: 'profiles',
    profiles: profiles.map(({ name, kind, file, profile, problem }) => ({
      ...{ name, kind, file, problem },
      vm: profile && (profile.flags.destVm ?? 'dom0'),
      location: profile?.location,
      isCommand: profile === undefined ? undefined : profile.flags.command === true,
      through: profile?.flags.through,
      encrypt: profile && profile.flags.encrypt !== false,
      compressFilter: profile?.flags.compressFilter,
      qubes: profile?.qubes,
      exclude: profile && (profile.flags.exclude ?? []),
      rules: profile && Object.keys(profile.rules).length > 0,
    })),
  });
  return ExitStatus.done;
}

function rowOf({ name, kind, profile, problem }: ListedProfile): string[] {
  const of = kind === 'coffer' ? 'coffer' : 'Qubes';
  if (profile === undefined) return [name, of, '', '', '', problem ?? ''];
  return [name, of, placeIn(profile), qubesIn(profile), rulesIn(profile), ''];
}

function placeIn({ location, flags }: Profile): string {
  const vm = flags.destVm ?? 'dom0';
  return flags.command === true
    ? `a command in ${vm}`
    : `${vm}:${pathThrough(location, flags.through)}`;
}

function qubesIn({ qubes, flags: { exclude = [] } }: Profile): string {
  const included = qubes.length === 0 ? 'those by default' : qubes.join(', ');
  return exclude.length === 0 ? included : `${included}; not ${exclude.join(', ')}`;
}

/** `7 daily, 12 monthly` */
function rulesIn({ rules }: Profile): string {
  const { keepWithin, ...counts } = rules;
  const counted = Object.entries(counts).map(
    ([rule, count]) => `${count} ${rule.replace('keep', '').toLowerCase()}`,
  );
  const within = keepWithin === undefined ? [] : [`all of ${formatSpan(keepWithin)}`];
  return [...counted, ...within].join(', ');
}
