import { execFileSync } from 'node:child_process';
import { rmSync, statSync, statfsSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemCodeOf } from '../../shared/errors.ts';
import type { Dice } from './dice.ts';
import { type Role, processesIn } from './processes.ts';
import type { CofferRun } from './coffer-run.ts';
import type { Job, World, WorldKind } from './world.ts';

/** A fault that is being tried. */
export interface Trial {
  readonly world: World;
  readonly job: Job;
  readonly dice: Dice;
}

/** How a run of coffer ended: its exit status, or the signal that killed it. */
export type Ending = number | NodeJS.Signals;

/** Something that goes wrong while coffer runs, or is wrong from the beginning. */
export interface Fault {
  readonly name: string;
  readonly jobs: readonly Job[];
  readonly worlds: readonly WorldKind[];
  /** How coffer may end then. Success is always right, because coffer may have been quicker. */
  readonly endings: (job: Job) => readonly Ending[];
  /** Whether the results of the job must be there regardless of how it ends. */
  readonly isDoneNevertheless?: true;
  /** Sets up what is wrong from the beginning; returns a command prefix to start coffer with. */
  readonly prepare?: (trial: Trial) => readonly string[];
  /** Makes something go wrong at a random point of the run; returns false if coffer was quicker. */
  readonly strike?: (trial: Trial, run: CofferRun) => Promise<boolean>;
  /** Undoes what was changed outside of coffer. */
  readonly repair?: (trial: Trial) => unknown;
}

const MiB = 2 ** 20;
const BOTH_JOBS = ['backup', 'restore'] as const;
const BOTH_WORLDS = ['folder', 'qubesd'] as const;
const always = { jobs: BOTH_JOBS, worlds: BOTH_WORLDS } as const;

export const FAULTS: readonly Fault[] = [
  { name: 'dom0 agent killed', ...always, endings: () => ['SIGKILL'], strike: kill('dom0 agent') },
  ...(['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((signal) => ({
    name: `dom0 agent gets ${signal}`,
    ...always,
    // In its first moments, before anything has begun, the signal itself ends it.
    endings: () => [130, signal],
    strike: kill('dom0 agent', signal),
  })),
  { name: 'VM agent killed', ...always, endings: () => [4], strike: kill('VM agent') },
  { name: 'VM agent ended', ...always, endings: () => [4], strike: kill('VM agent', 'SIGTERM') },
  { name: 'compressor killed', ...always, endings: () => [1], strike: kill('compressor') },
  {
    name: 'qrexec client killed',
    jobs: BOTH_JOBS,
    worlds: ['qubesd'],
    endings: () => [4],
    strike: kill('qrexec client'),
  },
  {
    name: 'import service killed',
    jobs: ['restore'],
    worlds: ['qubesd'],
    endings: () => [1],
    strike: kill('import service'),
  },
  {
    name: 'qubesd killed',
    jobs: BOTH_JOBS,
    worlds: ['qubesd'],
    // 5 if qubesd was gone before anything was done; 4 because qrexec does not work without it, either.
    endings: () => [1, 4, 5],
    strike: killQubesd,
  },
  {
    name: 'disk full',
    ...always,
    // 5 if there is not even the space that is needed in any case.
    endings: (job) => (job === 'backup' ? [4, 5] : [1]),
    prepare: fillDisk,
    repair: ({ world }) => rmSync(ballastFile(world), { force: true }),
  },
  {
    name: 'writes fail',
    ...always,
    endings: (job) => (job === 'backup' ? [4] : [1]),
    prepare: ({ dice }) => ['prlimit', `--fsize=${Math.floor(dice.next() * 24 * MiB)}`, '--'],
  },
  {
    name: 'reads fail',
    ...always,
    endings: (job) => (job === 'backup' ? [1] : [3, 4]),
    strike: cutWhatIsRead,
    repair: ({ world }) => world.putBack(),
  },
  {
    name: 'nobody reads the output',
    ...always,
    // The result cannot be written, which is a failure, but the work is done.
    endings: () => [1],
    isDoneNevertheless: true,
    strike: async ({ dice }, run) => {
      if (!(await run.until(dice))) return false;
      run.closeOutput();
      return true;
    },
  },
];

/** Sends a signal to a process with this role: at a random point of the run, or when there next is such a process. */
function kill(role: Role, signal: NodeJS.Signals = 'SIGKILL'): NonNullable<Fault['strike']> {
  return async ({ world, dice }, run) => {
    if (!(await run.until(dice))) return false;
    while (!run.isOver) {
      // The first one: a child that it has just forked looks the same until it executes its own program.
      const victim = processesIn(world.directory).find((process) => process.role === role);
      if (victim !== undefined) return send(signal, victim.pid);
      await run.moment();
    }
    return false;
  };
}

function send(signal: NodeJS.Signals, pid: number): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if (systemCodeOf(error) === 'ESRCH') return false;
    throw error;
  }
}

/** In ms. systemd restarts qubesd after a second (RestartSec in qubesd.service of qubes-core-admin). */
const RESTART = 1_000;

/**
 * Stops qubesd and starts it again. It keeps its state, but whoever is connected, or asks meanwhile, gets no answer.
 */
async function killQubesd({ world, dice }: Trial, run: CofferRun): Promise<boolean> {
  if (!(await run.until(dice))) return false;
  await world.qubesd?.stop();
  await sleep(RESTART);
  await world.qubesd?.start();
  return true;
}

/** The file that `fillDisk` makes. */
function ballastFile(world: World): string {
  return join(world.directory, 'ballast');
}

/** Leaves less space than coffer is going to need. */
function fillDisk({ world, job, dice }: Trial): readonly string[] {
  // Without a separate file system, a limit on the size of files is used instead.
  if (!world.hasOwnFileSystem) return ['prlimit', `--fsize=${Math.floor(dice.next() * 8 * MiB)}`];
  const { bavail, bsize } = statfsSync(world.directory);
  const needed = job === 'backup' ? 10 * MiB : 18 * MiB;
  const length = bavail * bsize - Math.floor(dice.next() * needed);
  execFileSync('fallocate', ['-l', `${length}`, ballastFile(world)]);
  return [];
}

/** Truncates the volume or the backup that is being read. */
async function cutWhatIsRead({ world, job, dice }: Trial, run: CofferRun): Promise<boolean> {
  if (!(await run.until(dice))) return false;
  const file = job === 'restore' ? world.master : world.imageOf(dice.pick(['work', 'vault']));
  world.remember(file);
  truncateSync(file, Math.floor(dice.next() * statSync(file).size));
  return true;
}
