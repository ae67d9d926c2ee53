import { FailedError } from '../../../shared/errors.ts';
import type { RunProgram, RunForLines } from '../../../shared/run-program.ts';

const GROUP = 'vg';
const BLOCKS = 64;

interface Device {
  readonly id: number;
  readonly transaction: number;
  readonly creationTime: number;
  /** The place and the time of each mapped block. */
  readonly blocks: Map<number, readonly [place: number, time: number]>;
}

interface Volume {
  readonly name: string;
  readonly uuid: string;
  readonly id: number;
  readonly origin: string;
  readonly tags: string;
}

/** The content of a pool, as JSON, so that it can be restored to an earlier state. */
interface State {
  time: number;
  transaction: number;
  place: number;
  devices: Device[];
  volumes: Volume[];
}

/**
 * A double of a thin pool behind the programs that coffer runs: it behaves like dm-thin, and prints what LVM 2.03.16,
 * dmsetup and thin_dump 0.9.0 were observed to print. `npm run test:thin` tests the real ones.
 */
export class ThinPoolDouble {
  poolUuid = 'POOL';
  blockSize = 128;
  /** The root of the metadata snapshot that is held. */
  held: string | undefined;
  /** The errors that programs fail with, by name. */
  readonly failing = new Map<string, string>();
  readonly ran: string[] = [];
  #state: State = { time: 0, transaction: 0, place: 0, devices: [], volumes: [] };
  #uuids = 0;
  /** The names of volumes that are in another thin pool of the volume group. */
  readonly #elsewhere = new Set<string>();

  constructor() {
    this.#create('vm-work-private', undefined, '');
  }

  get volumes(): readonly string[] {
    return this.#state.volumes.map(({ name }) => name);
  }

  /** Makes a volume in another thin pool of the volume group. */
  createElsewhere(name: string, tags: string): void {
    this.#create(name, undefined, tags);
    this.#elsewhere.add(name);
  }

  /** A copy of LVM's and dm-thin's metadata. */
  save(): State {
    return structuredClone(this.#state);
  }

  setBack(state: State): void {
    this.#state = structuredClone(state);
  }

  /** Changes the device of a volume in dm-thin's metadata only. */
  changeDevice(name: string, change: (device: Device) => Device | undefined): void {
    const { id } = this.#volume(name);
    this.#state.devices = this.#state.devices.flatMap((device) => {
      const changed = device.id === id ? change(device) : device;
      return changed === undefined ? [] : [changed];
    });
  }

  /** Writes a block of the committed volume. */
  write(block: number): void {
    const { id } = this.#volume('vm-work-private');
    this.#device(id).blocks.set(block, [this.#state.place++, this.#state.time]);
  }

  /** Replaces a volume by a snapshot of itself, as a start and stop of its VM does. */
  renew(): void {
    this.#create('vm-work-private-snap', 'vm-work-private', '');
    this.#remove('vm-work-private');
    this.#state.volumes = this.#state.volumes.map((volume) =>
      volume.name === 'vm-work-private-snap' ? { ...volume, name: 'vm-work-private' } : volume,
    );
  }

  /** Makes a snapshot of the volume, as a revision of it. */
  keepRevision(): void {
    this.#create('vm-work-private-1-back', 'vm-work-private', '');
  }

  /** `lvconvert --merge`: the volume gets the snapshot's device, and keeps its own name and UUID. */
  mergeRevision(): void {
    const { id } = this.#volume('vm-work-private-1-back');
    this.#remove('vm-work-private-1-back', this.#volume('vm-work-private').id);
    this.#state.volumes = this.#state.volumes.map((volume) =>
      volume.name === 'vm-work-private' ? { ...volume, id } : volume,
    );
  }

  /** Removes a volume from LVM's metadata, but not from dm-thin's. */
  forget(name: string): void {
    this.#state.volumes = this.#state.volumes.filter((volume) => volume.name !== name);
  }

  /** Increases LVM's transaction id and dm-thin's time, by snapshots that are removed again. */
  use(times: number): void {
    for (let time = 0; time < times; time++) {
      this.#create(`vm-used-${time}`, 'vm-work-private', '');
      this.#remove(`vm-used-${time}`);
    }
  }

  readonly run: RunProgram = async (program, args) => {
    const line = [program, ...args].join(' ');
    this.ran.push(line);
    await Promise.resolve();
    for (const [start, complaint] of this.failing) {
      if (line.startsWith(start)) throw new FailedError(`"${line}" failed (5): ${complaint}`);
    }
    const last = (args.at(-1) ?? '').replace(`${GROUP}/`, '');
    const option = (name: string): string =>
      args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3) ?? '';
    const name = option('name').replace(`${GROUP}/`, '');
    switch (`${program} ${args[0]}`) {
      case 'lvm lvs':
        return this.#lvs(last);
      case 'lvm lvcreate':
        this.#create(name, last === GROUP ? undefined : last, option('addtag'));
        return '';
      case 'lvm lvremove':
        this.#remove(last);
        return '';
      case 'dmsetup info':
        return ` vg-pool-tpool LVM-VG${this.poolUuid}-tpool 254 2\n vg-pool_tmeta LVM-VGMETA-tmeta 254 0\n`;
      case 'dmsetup table':
        return this.#table(args);
      case 'dmsetup status': {
        const { transaction } = this.#state;
        return `0 819200 thin-pool ${transaction} 114/1024 160/6400 ${this.held ?? '-'} rw discard_passdown queue_if_no_space - 256 \n`;
      }
      case 'dmsetup message':
        this.#message(args.at(-1));
        return '';
      default:
        return '';
    }
  };

  readonly lines: RunForLines = (program, args) => this.#dump([program, ...args].join(' '));

  async *#dump(line: string): AsyncGenerator<string[], void, undefined> {
    await this.run('thin_dump', []);
    yield this.#dumped(line);
  }

  #dumped(line: string): string[] {
    if (this.held === undefined) throw new FailedError('no metadata snapshot is held');
    const { time, transaction, devices } = this.#state;
    const id = Number(/--dev-id=(\d+)/.exec(line)?.[1]);
    const device = devices.find((one) => one.id === id);
    const lines = device && [
      `  <device dev_id="${id}" mapped_blocks="${device.blocks.size}" transaction="${device.transaction}" creation_time="${device.creationTime}" snap_time="0">`,
      ...[...device.blocks]
        .sort(([one], [other]) => one - other)
        .map(
          ([block, [place, since]]) =>
            `    <single_mapping origin_block="${block}" data_block="${place}" time="${since}"/>`,
        ),
      '  </device>',
    ];
    return [
      `<superblock uuid="" time="${time}" transaction="${transaction}" flags="0" version="2" data_block_size="${this.blockSize}" nr_data_blocks="0">`,
      ...(lines ?? []),
      '</superblock>',
    ];
  }

  #lvs(what: string): string {
    const listed = this.#state.volumes.filter(({ name }) => what === GROUP || name === what);
    const lv = listed.map(({ name, uuid, id, origin, tags }) => ({
      ...{ lv_name: name, lv_uuid: uuid, vg_uuid: 'VG', lv_size: `${BLOCKS * 65_536}` },
      ...{ thin_id: `${id}`, origin_uuid: origin, lv_tags: tags },
      pool_lv_uuid: this.#elsewhere.has(name) ? 'OTHER' : this.poolUuid,
    }));
    return JSON.stringify({ report: [{ lv }] });
  }

  #table(args: readonly string[]): string {
    if (args[1] !== '--uuid') return '0 819200 thin-pool 254:0 254:1 128 0 0 \n';
    const found = this.#state.volumes.find(({ uuid }) => args[2] === `LVM-VG${uuid}`);
    return `0 131072 thin 254:2 ${found?.id}\n`;
  }

  #message(message: string | undefined): void {
    const isHeld = this.held !== undefined;
    if (isHeld === (message === 'reserve_metadata_snap')) throw new FailedError('Device busy');
    this.held = isHeld ? undefined : '48';
  }

  #create(name: string, origin: string | undefined, tags: string): void {
    const state = this.#state;
    const ids = [...state.devices, ...state.volumes].map((one) => one.id);
    const id = Math.max(0, ...ids) + 1;
    const from = origin === undefined ? undefined : this.#volume(origin);
    if (from !== undefined) state.time++;
    const blocks = new Map(from === undefined ? [] : this.#device(from.id).blocks);
    state.devices.push({ id, transaction: state.transaction++, creationTime: state.time, blocks });
    const uuid = `LV${this.#uuids++}`;
    state.volumes.push({ name, uuid, id, origin: from?.uuid ?? '', tags });
  }

  #remove(name: string, id = this.#volume(name).id): void {
    const state = this.#state;
    state.volumes = state.volumes.filter((volume) => volume.name !== name);
    state.devices = state.devices.filter((device) => device.id !== id);
    state.transaction++;
  }

  #volume(name: string): Volume {
    const found = this.#state.volumes.find((volume) => volume.name === name);
    if (found === undefined) throw new FailedError(`Failed to find logical volume "${name}"`);
    return found;
  }

  #device(id: number): Device {
    const found = this.#state.devices.find((device) => device.id === id);
    if (found === undefined) throw new FailedError(`no device ${id}`);
    return found;
  }
}
