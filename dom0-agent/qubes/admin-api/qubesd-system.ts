import type { Qube } from '../qube.ts';
import type { QubesSystem, SystemDefaults } from '../system.ts';
import {
  byteRunnerBehind,
  lineRunnerBehind,
  rootPrefix,
  runnerBehind,
} from '../../../shared/run-program.ts';
import { isAdminApiError, NO_REPLY } from './admin-api-error.ts';
import { openAdminApi, QUBESD_SOCKET } from './admin-api.ts';
import { describeQube } from './describe-qube.ts';
import {
  describeOffered,
  type OfferedDevice,
  parseAttached,
  parseAvailable,
} from './device-text.ts';
import { createQube } from './create-qube.ts';
import { findDom0Home, mountedDevices, type MountedDevice } from './inspect-dom0.ts';
import { importVolume } from './import-volume.ts';
import { qubeSettings } from './qube-settings.ts';
import { retryOnRestart } from './retry-on-restart.ts';
import { importIntoPool, kernelsIn, poolsOf } from './pool-space.ts';
import { memoize } from '../../../shared/memoize.ts';
import { linesOf, parseProperties, parseQubeList } from './replies.ts';
import { RootFileHolder } from '../pools/root-file-holder.ts';
import { VolumeReader } from './volume-reader.ts';

export interface QubesdOptions {
  /** Default: `QUBESD_SOCKET`. */
  readonly socketPath?: string | undefined;
  /** How long qubesd may be silent, in milliseconds. Default: two minutes. */
  readonly timeout?: number | undefined;
  /** How long to wait for qubesd to come back, in milliseconds. Default: a minute. */
  readonly restartTimeout?: number | undefined;
  /** Called with a message for the user when coffer waits for qubesd. */
  readonly onWait?: ((text: string) => void) | undefined;
  /** Default: `IMPORT_SERVICE`. */
  readonly importService?: string | undefined;
  /** Prefix of a command that needs root. Default: none for root, otherwise `sudo -n --`. */
  readonly rootPrefix?: readonly string[] | undefined;
  /** The command that starts coffer again to read a volume as root. Default: this program, `read-volume`. */
  readonly readVolume?: readonly string[] | undefined;
  /** Where device nodes are. Default: `/dev`. */
  readonly devices?: string | undefined;
  /** Default: `CALLBACK_CONFIGURATION`. */
  readonly callbackConfiguration?: string | undefined;
  /** Ends every call of the Admin API. */
  readonly signal?: AbortSignal | undefined;
}

/** What the Qubes system of this machine offers beyond `QubesSystem`. */
export interface QubesdSystem extends QubesSystem {
  /** Starts a VM unless it is already running. Resolves when it runs. */
  start(name: string): Promise<void>;
  /** Removes the snapshots left by killed coffer processes. */
  removeStaleSnapshots(): Promise<void>;
  /** The removable devices that are mounted in dom0. */
  mountedDevices(): Promise<MountedDevice[]>;
  /** The block devices that running VMs offer to others. */
  offeredDevices(): Promise<OfferedDevice[]>;
}

/** In milliseconds. A VM may take minutes to start (`qrexec_timeout`, which the user may have raised). */
const START_TIMEOUT = 15 * 60_000;

/** In milliseconds. A restart of qubesd takes some seconds, on a slow machine with many VMs half a minute. */
const RESTART_TIMEOUT = 60_000;

/**
 * The Qubes system of this machine, through the Admin API. To be used in dom0, by root or by a
 * member of the group `qubes` who may use sudo.
 */
export function openQubesdSystem(options: QubesdOptions = {}): QubesdSystem {
  const { socketPath = QUBESD_SOCKET, timeout, signal } = options;
  const prefix = options.rootPrefix ?? rootPrefix();
  const run = runnerBehind([]);
  const api = retryOnRestart(openAdminApi({ socketPath, timeout, signal }), {
    restartTimeout: options.restartTimeout ?? RESTART_TIMEOUT,
    onWait: options.onWait,
  });
  const isR42 = memoize(async () => {
    try {
      await api('dom0', 'admin.vm.device.block.List');
      return true;
    } catch (error) {
      // R4.3 renamed the call, and gives an empty reply to unknown calls; R4.4 reports an error.
      if (isAdminApiError(error, NO_REPLY) || isAdminApiError(error, 'ProtocolError')) return false;
      throw error;
    }
  });

  // Paused, in transition, crashed: anything but halted may have unsaved state.
  const isRunning = async (name: string): Promise<boolean> => {
    const listed = parseQubeList(await api(name, 'admin.vm.List'));
    return listed.find((qube) => qube.name === name)?.isRunning !== false;
  };
  const deviceClasses = memoize(async () => linesOf(await api('dom0', 'admin.deviceclass.List')));

  const volumes = new VolumeReader({
    api,
    isRunning,
    runAsRoot: runnerBehind(prefix),
    linesAsRoot: lineRunnerBehind(prefix),
    bytesAsRoot: byteRunnerBehind(prefix),
    rootPrefix: prefix,
    readAsRoot:
      prefix.length === 0 ? undefined : [...prefix, ...(options.readVolume ?? thisProgram())],
    // Only root may open them.
    holdFile: prefix.length === 0 ? undefined : new RootFileHolder(prefix).hold,
    devices: options.devices,
    callbackConfiguration: options.callbackConfiguration,
  });

  return {
    description: 'the Qubes system of this machine',
    place: socketPath,

    list: async () => parseQubeList(await api('dom0', 'admin.vm.List')),

    async qubes() {
      const listed = parseQubeList(await api('dom0', 'admin.vm.List'));
      const describing = { api, deviceClasses: await deviceClasses(), isR42: await isR42() };
      const qubes = await Promise.all(listed.map((entry) => describeQube(entry, describing)));
      return qubes.filter((qube) => qube !== undefined).sort(dom0First);
    },

    labels: async () => linesOf(await api('dom0', 'admin.label.List')),

    async defaults(): Promise<SystemDefaults> {
      const properties = parseProperties(await api('dom0', 'admin.property.GetAll'));
      const valueOf = new Map(properties.map(({ name, value }) => [name, value || undefined]));
      return {
        template: valueOf.get('default_template'),
        netvm: valueOf.get('default_netvm'),
        dispvm: valueOf.get('default_dispvm'),
      };
    },

    dom0Home: () => findDom0Home(run),
    isRunning,
    pools: () => poolsOf(api),
    kernels: () => kernelsIn(api),

    ...qubeSettings(api, isR42),

    whyUnreadable: volumes.whyUnreadable,
    hasUncommitted: volumes.hasUncommitted,
    holdVolume: volumes.hold,
    trackChanges: volumes.trackChanges,
    wasWrittenSince: volumes.wasWrittenSince,
    spaceOfCopies: () => volumes.spaceOfCopies(),
    removeStaleSnapshots: () => volumes.removeStaleSnapshots(),

    async setBackupTimestamps(names, unixTime) {
      const payload = String(Math.trunc(unixTime));
      const failed = new Map<string, unknown>();
      for (const name of names) {
        await api(name, 'admin.vm.property.Set', 'backup_timestamp', { payload }).catch(
          (error: unknown) => failed.set(name, error),
        );
      }
      return failed;
    },

    create: (qube) => createQube(api, qube),

    async remove(name) {
      await api(name, 'admin.vm.Remove');
    },

    importVolume: (qubeName, volume, size, pieces, signal) => {
      const imported = { qubeName, volume, size };
      const service = { service: options.importService, rootPrefix: prefix };
      return importIntoPool(api, imported, pieces, (counted) =>
        importVolume(imported, counted, signal, service),
      );
    },

    async start(name) {
      try {
        await api(name, 'admin.vm.Start', '', { timeout: START_TIMEOUT });
      } catch (error) {
        if (!isAdminApiError(error, 'QubesVMNotHaltedError')) throw error;
      }
    },

    mountedDevices: () => mountedDevices(run),

    async offeredDevices() {
      const listed = parseQubeList(await api('dom0', 'admin.vm.List'));
      const running = listed.filter(({ name, state }) => name !== 'dom0' && state === 'Running');
      const list = `admin.vm.device.block.${(await isR42()) ? 'List' : 'Attached'}`;
      const attached = await Promise.all(
        running.map(async ({ name }) =>
          parseAttached(await api(name, list)).map((place) => [place, name] as const),
        ),
      );
      const owners = new Map(attached.flat());
      const offered = await Promise.all(
        running.map(async ({ name: backend }) => {
          const devices = parseAvailable(await api(backend, 'admin.vm.device.block.Available'));
          return devices.map(({ port, fields }) =>
            describeOffered(backend, port, fields, owners.get(`${backend}+${port}`)),
          );
        }),
      );
      return offered.flat();
    },
  };
}

function dom0First(one: Qube, other: Qube): number {
  return Number(other.qubeClass === 'AdminVM') - Number(one.qubeClass === 'AdminVM');
}

/** How coffer starts itself again, to read a volume as root. */
function thisProgram(): string[] {
  return [process.execPath, ...process.argv.slice(1, 2), 'read-volume'];
}
