import { ExitStatus, RefusedError } from '../../shared/errors.ts';
import type { OutputFlags } from './archive-options.ts';
import { openSystem } from './open-system.ts';
import { formatKnownSize, formatTable } from './table.ts';
import { CommandReport } from './command-report.ts';

export interface DevicesFlags extends OutputFlags {
  readonly system?: string;
}

/** `coffer devices`. Gives the exit status. */
export async function devicesCommand(flags: DevicesFlags): Promise<number> {
  using report = new CommandReport(flags);
  const { qubesd, system } = await openSystem(flags.system, (text) => report.info(text));
  if (qubesd === undefined) throw new RefusedError(`${system.description} has no devices`);
  const [mounted, offered] = await Promise.all([qubesd.mountedDevices(), qubesd.offeredDevices()]);
  report.say('Removable devices mounted in dom0: LOCATION is a directory or a file below.');
  report.say(
    formatTable(
      ['device', 'mounted on', 'name', 'size', 'free'],
      mounted.map((each) => [
        ...[each.device, each.mountPoint, each.label ?? ''],
        ...[formatKnownSize(each.size), formatKnownSize(each.free)],
      ]),
    ),
  );
  report.say('\nBlock devices that VMs offer: mount one in its VM, or in another, and use -d VM.');
  report.say(
    formatTable(
      ['VM', 'device', 'what it is', 'size'],
      offered.map((each) => [
        each.backend,
        each.port,
        each.description,
        formatKnownSize(each.size),
      ]),
    ),
  );
  report.result({ ok: true, command: 'devices', mounted, offered });
  return ExitStatus.done;
}
