import { realpathSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import type { ChildProcess } from '../../shared/child-process.ts';
import { RefusedError, systemCodeOf } from '../../shared/errors.ts';
import type { RecordFiles } from '../backup/record-files.ts';
import { suggestion } from '../qubes/names-from-user.ts';
import { openFolderSystem } from '../qubes/folder/folder-system.ts';
import { isQubeClass, whatItIs } from '../qubes/qube.ts';
import { QUBESD_SOCKET } from '../qubes/admin-api/admin-api.ts';
import { type QubesdSystem, openQubesdSystem } from '../qubes/admin-api/qubesd-system.ts';
import type { QubesSystem } from '../qubes/system.ts';
import { AgentStorage } from '../transport/agent-storage.ts';
import { Dom0Storage } from '../transport/dom0-storage.ts';
import { localProcess } from '../transport/local-process.ts';
import { type QrexecOptions, qrexec, startService } from '../transport/qrexec.ts';
import type { Storage } from '../transport/storage.ts';

/** The name of the record of backups, in a directory for coffer's state. */
const RECORD = 'backups.json';

/** Where archives are, according to the options of a command. */
export interface StoragePlace {
  /** The VM that they are in; undefined: dom0. */
  readonly destVm?: string | undefined;
  /** A shell command in that VM that gives access to directories. */
  readonly through?: string | undefined;
}

/** The Qubes system that a command works on, and the storage for its archives. */
export interface OpenedSystem {
  readonly system: QubesSystem;
  /** Throws RefusedError when there is no such VM. */
  readonly storage: (place: StoragePlace) => Promise<Storage>;
  /** Whether a VM must be started before its storage can be used. */
  readonly isHalted: (vm: string | undefined) => Promise<boolean>;
  /** The record of which backups were made and verified. */
  readonly recordFiles: RecordFiles;
  /** The directory of what dom0 knows about series. */
  readonly seriesDirectory: string;
  /** Starts a service of a VM, to read its output; undefined for a folder system, whose VMs have no services. */
  readonly startService:
    ((vm: string, service: string, signal: AbortSignal) => Promise<ChildProcess>) | undefined;
  /** Undefined for a folder system. */
  readonly qubesd: QubesdSystem | undefined;
}

/**
 * Opens the folder system that `--system` or COFFER_SYSTEM names, or the Qubes system whose dom0 this is. Throws
 * RefusedError, saying what to do, when there is neither.
 *
 * @param tell called with a text for the user when a VM is being started, or while waiting for qubesd
 */
export async function openSystem(
  directory: string | undefined,
  tell: (text: string) => void,
): Promise<OpenedSystem> {
  const folder = directory ?? process.env['COFFER_SYSTEM'];
  if (folder !== undefined && folder !== '') return openFolder(folder);
  const socketPath = process.env['COFFER_QUBESD_SOCKET'] ?? QUBESD_SOCKET;
  if (await exists(socketPath)) return openQubesd(socketPath, tell);
  throw new RefusedError(
    'this is not dom0 of a Qubes system, because there is no qubesd: use --system DIR, and ' +
      '`coffer sandbox DIR` to make such a directory for trying coffer',
  );
}

async function openFolder(directory: string): Promise<OpenedSystem> {
  const system = await openFolderSystem(directory);
  const agentIn: AgentIn = async (vm, through) => {
    await requireQube(system, vm);
    const home = system.homeOf(vm);
    if (!(await exists(home))) throw new RefusedError(`${vm} cannot store backups: it has no home`);
    return new AgentStorage(vm, localProcess(agentProgram(), home), undefined, through);
  };
  // The agents of a folder system run on this machine: no VM needs to be started.
  const isHalted = (): Promise<boolean> => Promise.resolve(false);
  const recordFiles = { own: join(directory, 'dom0-state', RECORD), others: [] };
  const seriesDirectory = seriesBeside(recordFiles);
  return {
    ...{ system, storage: storageOf(agentIn), isHalted, recordFiles, seriesDirectory },
    ...{ startService: undefined, qubesd: undefined },
  };
}

function openQubesd(socketPath: string, tell: (text: string) => void): OpenedSystem {
  const qubesd = openQubesdSystem({
    socketPath,
    importService: process.env['COFFER_IMPORT_SERVICE'],
    onWait: tell,
  });
  const calls: QrexecOptions = {
    program: process.env['COFFER_QREXEC_CLIENT'],
    isRunning: (name) => qubesd.isRunning(name),
    start: (name) => qubesd.start(name),
    onStart: (name) => tell(`starting ${name}`),
  };
  const agentIn: AgentIn = async (vm, through) => {
    await requireQube(qubesd, vm);
    return new AgentStorage(vm, qrexec(vm, calls), undefined, through);
  };
  const isHalted = async (vm: string | undefined): Promise<boolean> =>
    vm !== undefined && vm !== 'dom0' && !(await qubesd.isRunning(vm));
  const recordFiles = recordFilesInDom0();
  return {
    ...{ system: qubesd, storage: storageOf(agentIn), isHalted, qubesd },
    startService: (vm, service, signal) => startService(vm, service, calls, 'ignore', signal),
    recordFiles,
    seriesDirectory: seriesBeside(recordFiles),
  };
}

/** The files of the record in dom0: this user's, and root's, so that dom0's user also sees the backups of timers. */
export function recordFilesInDom0(
  environment = process.env,
  uid = process.getuid?.(),
): RecordFiles {
  const named = environment['COFFER_STATE'];
  if (named !== undefined && named !== '') return { own: join(named, RECORD), others: [] };
  const ofRoot = join('/var/lib/coffer', RECORD);
  if (uid === 0) return { own: ofRoot, others: [] };
  const state = environment['XDG_STATE_HOME'] ?? '';
  // The XDG specification says that relative paths must be ignored.
  const ofUser = isAbsolute(state) ? state : join(homedir(), '.local/state');
  return { own: join(ofUser, 'coffer', RECORD), others: [ofRoot] };
}

/** The directory for series, next to this user's record of backups. */
function seriesBeside({ own }: RecordFiles): string {
  return join(dirname(own), 'series');
}

type AgentIn = (vm: string, through: string | undefined) => Promise<Storage>;

function storageOf(agentIn: AgentIn): OpenedSystem['storage'] {
  return async ({ destVm: vm, through }) =>
    vm === undefined || vm === 'dom0' ? new Dom0Storage(through) : agentIn(vm, through);
}

/**
 * The VM agent that stands in for a storage VM in a folder system: the one next to this program, or the one that
 * COFFER_VM_AGENT names.
 */
function agentProgram(): string {
  const named = process.env['COFFER_VM_AGENT'];
  if (named !== undefined && named !== '') return named;
  return join(dirname(realpathSync(process.argv[1] ?? '.')), 'coffer-vm-agent');
}

/** Throws RefusedError when there is no such VM on this machine. */
async function requireQube(system: QubesSystem, vm: string): Promise<void> {
  const listed = await system.list();
  const found = listed.find(({ name }) => name === vm);
  if (found === undefined) {
    const known = listed.filter(({ className }) => isQubeClass(className)).map(({ name }) => name);
    throw new RefusedError(`there is no VM called ${vm} on this system${suggestion(vm, known)}`);
  }
  if (!isQubeClass(found.className)) {
    throw new RefusedError(`${vm} cannot store backups: ${whatItIs(found)}`);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === 'EACCES') return true;
    return false;
  }
}
