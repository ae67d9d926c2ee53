import { ExitStatus, RefusedError } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import { systemAtHand } from './system-at-hand.ts';
import { formatTable } from './table.ts';
import { Terminal } from './terminal.ts';

export interface DevicesFlags {
  readonly system?: string;
  readonly json?: true;
}

/** `coffer devices`. Gives the exit status. */
export async function devicesCommand(flags: DevicesFlags): Promise<number> {
  using terminal = new Terminal(flags);
  const { qubesd, system } = await systemAtHand(flags.system, (text) => terminal.info(text));
  if (qubesd === undefined) throw new RefusedError(`${system.description} has no devices`);
  const [mounted, offered] = await Promise.all([qubesd.mountedDevices(), qubesd.offeredDevices()]);
  const size = (bytes: number | undefined): string =>
    bytes === undefined ? '' : formatSize(bytes);
  terminal.say('Removable devices mounted in dom0: LOCATION is a directory or a file below.');
  terminal.say(
    formatTable(
      ['device', 'mounted on', 'name', 'size', 'free'],
      mounted.map((each) => [
        ...[each.device, each.mountPoint, each.label ?? ''],
        ...[size(each.size), size(each.free)],
      ]),
    ),
  );
  terminal.say(
    '\nBlock devices that VMs offer: mount one in its VM, or in another, and use -d VM.',
  );
  terminal.say(
    formatTable(
      ['VM', 'device', 'what it is', 'size'],
      offered.map((each) => [each.backend, each.port, each.description, size(each.size)]),
    ),
  );
  terminal.result({ ok: true, command: 'devices', mounted, offered });
  return ExitStatus.done;
}
