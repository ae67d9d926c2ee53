import { posix } from 'node:path';
import { formatSize } from '../../../shared/sizes.ts';
import { isQubeClass } from '../../qubes/qube.ts';
import type { OpenedSystem } from '../open-system.ts';
import { BACK, type Back, askInOrder } from './in-order.ts';
import { pickPath, whyNoDirectory } from './path.ts';
import { type Choice, askLine, choose } from './prompts.ts';

/** Where a backup is stored or read, as the command line names it. */
export interface Place {
  /** Undefined: dom0. */
  readonly vm?: string;
  /** Whether `location` is a shell command. */
  readonly isCommand?: boolean;
  /** A shell command that leads to `location`. */
  readonly through?: string;
  readonly location: string;
}

/** What a place in a VM is; `through`: a directory elsewhere, which a command in the VM leads to. */
type Kind = 'directory' | 'through' | 'command';

/** What a place is asked for. */
export type Purpose = 'write' | 'read';

/** What is known about a place so far. */
interface Sought {
  readonly kind?: 'vm' | 'dom0';
  readonly vm?: string;
  /** The directory to begin browsing with. */
  readonly directory?: string;
  readonly what?: Kind;
  readonly through?: string;
  readonly location?: string;
}

/** Where udisks mounts devices. */
const MOUNTS = '/run/media/user';

/**
 * Asks for a place: a device, a VM or dom0, and then a directory there, which can be browsed, a place that a command
 * leads to, or a command.
 */
export async function askPlace(
  purpose: Purpose,
  opened: OpenedSystem,
  signal: AbortSignal,
): Promise<Place | Back> {
  const found = await askInOrder<Sought>(
    [
      () => askKind(purpose, opened, signal),
      (sought) => askVm(sought, opened, signal),
      (sought) => askWhat(sought, purpose, signal),
      (sought) => askThrough(sought, signal),
      (sought) => askLocation(sought, purpose, opened, signal),
    ],
    {},
  );
  if (found === BACK) return BACK;
  const { vm, what, through, location = '' } = found;
  return {
    ...(vm === undefined ? {} : { vm }),
    isCommand: what === 'command',
    ...(through === undefined ? {} : { through }),
    location,
  };
}

async function askKind(
  purpose: Purpose,
  opened: OpenedSystem,
  signal: AbortSignal,
): Promise<Sought | Back> {
  return choose<Sought>(
    purpose === 'write' ? 'Where should the backup go?' : 'Where is the backup?',
    [
      ...(await devices(opened)),
      { name: 'a VM', value: { kind: 'vm' }, description: 'A directory in it, or a command.' },
      { name: 'dom0', value: { kind: 'dom0' }, description: 'A directory in dom0.' },
    ],
    signal,
  );
}

/** The devices that are plugged in; none if that cannot be found out. */
async function devices({ qubesd }: OpenedSystem): Promise<Choice<Sought>[]> {
  if (qubesd === undefined) return [];
  const [mounted, offered] = await Promise.all([
    qubesd.mountedDevices().catch(() => []),
    qubesd.offeredDevices().catch(() => []),
  ]);
  return [
    ...mounted.map(({ device, mountPoint, label, free }) => ({
      name: `the device ${label ?? device}, mounted in dom0`,
      value: { kind: 'dom0' as const, directory: mountPoint },
      description: `${mountPoint}${free === undefined ? '' : `, ${formatSize(free)} free`}`,
    })),
    ...offered.map(({ backend, port, description, attachedTo = backend }) => ({
      name: `the device ${port} of ${backend}${attachedTo === backend ? '' : `, attached to ${attachedTo}`}`,
      value: { kind: 'vm' as const, vm: attachedTo, directory: MOUNTS },
      description: `${description}: mount it in ${attachedTo} first.`,
    })),
  ];
}

async function askVm(
  sought: Sought,
  { system }: OpenedSystem,
  signal: AbortSignal,
): Promise<Sought | undefined | Back> {
  if (sought.kind !== 'vm' || sought.vm !== undefined) return undefined;
  const listed = (await system.list()).filter(
    ({ name, className }) => isQubeClass(className) && name !== 'dom0',
  );
  const runningFirst = listed.toSorted((a, b) => Number(b.isRunning) - Number(a.isRunning));
  const vm = await choose(
    'Which VM?',
    runningFirst.map(({ name, isRunning }) => ({
      name: isRunning ? `${name}  (running)` : name,
      value: name,
    })),
    signal,
  );
  return vm === BACK ? BACK : { ...sought, vm };
}

async function askWhat(
  sought: Sought,
  purpose: Purpose,
  signal: AbortSignal,
): Promise<Sought | undefined | Back> {
  const { vm, directory } = sought;
  if (vm === undefined || directory !== undefined) return undefined;
  const what = await choose<Kind>(
    `Where in ${vm}?`,
    [
      { name: 'a directory', value: 'directory' },
      {
        name: 'a place that a command leads to',
        value: 'through',
        description: 'A directory on a server or in a cloud, which holds backups as any other.',
      },
      {
        name: 'a command',
        value: 'command',
        description:
          purpose === 'write'
            ? 'It reads the backup from its standard input, and may send it to a server.'
            : 'It writes the backup to its standard output.',
      },
    ],
    signal,
  );
  return what === BACK ? BACK : { ...sought, what };
}

/** Asks for the command that leads to the place. */
async function askThrough(sought: Sought, signal: AbortSignal): Promise<Sought | undefined | Back> {
  if (sought.what !== 'through') return undefined;
  const OTHER = '';
  const chosen = await choose(
    'Which command leads there?',
    [
      {
        name: 'coffer-ssh',
        value: 'coffer-ssh',
        description: 'To a directory of a server: user@example.org:backups',
      },
      {
        name: 'coffer-rclone',
        value: 'coffer-rclone',
        description: 'To a directory of a remote of rclone: cloud:backups',
      },
      { name: 'another one', value: OTHER },
    ],
    signal,
  );
  if (chosen === BACK) return BACK;
  const through = chosen === OTHER ? await askLine('The command:', whyNoCommand, signal) : chosen;
  return through === BACK ? BACK : { ...sought, through };
}

async function askLocation(
  sought: Sought,
  purpose: Purpose,
  opened: OpenedSystem,
  signal: AbortSignal,
): Promise<Sought | Back> {
  const { vm, what, through, directory } = sought;
  if (what === 'command') {
    const location = await askLine('The command:', whyNoCommand, signal);
    return location === BACK ? BACK : { ...sought, location };
  }
  const storage = await opened.storage({ destVm: vm, through });
  const start = directory ?? (vm === undefined ? process.cwd() : '.');
  if (await opened.isHalted(vm)) {
    const isToBeStarted = await choose(
      `${storage.owner} is not running.`,
      [
        {
          name:
            through === undefined ? 'start it and list its directories' : 'start it and look there',
          value: true,
        },
        { name: 'type the path', value: false, description: 'It is started later.' },
      ],
      signal,
    );
    if (isToBeStarted === BACK) return BACK;
    if (!isToBeStarted) {
      const location = await askLine('The path:', whyNoPath, signal);
      return location === BACK ? BACK : { ...sought, location };
    }
  }
  if (through !== undefined) {
    const whyNot = (path: string) => whyNoDirectory(storage, path, signal);
    const place = await askLine('The place, as the command takes it:', whyNot, signal);
    if (place === BACK) return BACK;
    const location = purpose === 'write' ? place : await pickPath(storage, place, purpose, signal);
    return location === BACK ? BACK : { ...sought, location };
  }
  const begin = await firstThatIsThere([start, posix.dirname(start), '.'], (path) =>
    whyNoDirectory(storage, path, signal),
  );
  const location = await pickPath(storage, begin, purpose, signal);
  return location === BACK ? BACK : { ...sought, location };
}

/** The first of these paths that nothing is wrong with, or else the last one. */
async function firstThatIsThere(
  paths: readonly string[],
  whyNot: (path: string) => Promise<string | undefined>,
): Promise<string> {
  for (const path of paths) if ((await whyNot(path)) === undefined) return path;
  return paths.at(-1) ?? '.';
}

function whyNoCommand(text: string): Promise<string | undefined> {
  return Promise.resolve(text.trim() === '' ? 'Type a command, or press Esc.' : undefined);
}

function whyNoPath(text: string): Promise<string | undefined> {
  return Promise.resolve(text.trim() === '' ? 'Type a path, or press Esc.' : undefined);
}
