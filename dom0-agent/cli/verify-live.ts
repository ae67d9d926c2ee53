import { ExitStatus, RefusedError } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import { originOf } from '../backup/volume-identity.ts';
import { parseArchivedPath } from '../contents/archived-files.ts';
import type { SelectedContents } from '../contents/read-contents.ts';
import { savedVolumes } from '../qubes/qube.ts';
import type { QubesSystem } from '../qubes/system.ts';
import { type ComparedVolume, type LiveVolume, compareVolume } from '../verify/compare-volumes.ts';
import type { CommandReport } from './command-report.ts';
import { sharesIn } from './contents-events.ts';
import { type OpenedBackup, backupForPrograms } from './open-backup.ts';
import { formatTable } from './table.ts';

const IN_WORDS: Record<ComparedVolume['result'], string> = {
  same: 'as in the backup',
  changed: 'changed since',
  incomplete: 'incomplete in the backup',
  unreadable: 'cannot be read',
  'not here': 'not on this system',
};

/** `coffer verify --compare`: compares the volumes of this system with those in a backup. Returns the exit status. */
export async function verifyLive(
  system: QubesSystem,
  backup: OpenedBackup,
  { qubes }: SelectedContents,
  report: CommandReport,
  signal: AbortSignal,
): Promise<number> {
  const { inSeries } = backup.reader;
  if (inSeries === undefined) {
    throw new RefusedError('--compare is for a backup in a file, in the format coffer-1');
  }
  const begun = Date.now();
  const live = await liveVolumes(system);
  const names = new Map(qubes.map(({ directory, qube }) => [directory, qube.name]));
  report.startProgress('check', sharesIn({ qubes, dom0Home: undefined, dom0Paths: undefined }));
  const compared: ComparedVolume[] = [];
  for await (const stored of inSeries.volumes()) {
    const place = parseArchivedPath(stored.path);
    const name = names.get(place.directory);
    if (name === undefined || place.kind !== 'volume') continue;
    const { volume } = place;
    const one = { name, volume, stored, live: live.get(stored.origin) };
    compared.push(await compareVolume(one, system, report, signal));
  }
  report.endProgress();
  if (compared.length === 0) {
    throw new RefusedError('there is nothing to compare: what was chosen has no volumes');
  }
  const seconds = (Date.now() - begun) / 1000;
  const isSame = compared.every(({ result }) => result === 'same');
  report.say(formatTable(['VM', 'volume', 'size', 'result', ''], compared.map(rowOf)));
  report.say(
    isSame
      ? `All volumes are as in the backup, ${seconds.toFixed(1)} s.`
      : 'Not all volumes are as in the backup. A volume should be if its VM has not been started since.',
  );
  report.result({
    ok: isSame,
    command: 'verify',
    ...backupForPrograms(backup),
    volumes: compared,
    warnings: report.warnings,
    seconds,
  });
  return isSame ? ExitStatus.done : ExitStatus.failed;
}

/** The volumes of this system, by their origins. */
async function liveVolumes(system: QubesSystem): Promise<Map<string, LiveVolume>> {
  const qubes = await system.qubes();
  return new Map(
    qubes.flatMap((qube) =>
      savedVolumes(qube).map((volume): [string, LiveVolume] => [
        originOf(qube, volume),
        { qube, volume },
      ]),
    ),
  );
}

function rowOf({ name, volume, size, result, remark }: ComparedVolume): string[] {
  return [name, volume, formatSize(size), IN_WORDS[result], remark];
}
