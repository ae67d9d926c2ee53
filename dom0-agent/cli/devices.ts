import { ExitStatus } from '../../shared/errors.ts';
import type { ListedQube, QubesSystem } from '../qubes/system.ts';
import type { OutputFlags } from './archive-options.ts';
import { openSystem } from './open-system.ts';
import { formatKnownSize, formatTable } from './table.ts';
import { CommandReport } from './command-report.ts';

export interface DevicesFlags extends OutputFlags {
  readonly system?: string;
}

/** `coffer devices`. Returns the exit status. */
export async function devicesCommand(flags: DevicesFlags): Promise<number> {
  using report = new CommandReport(flags);
  const { qubesd, system } = await openSystem(flags.system, (text) => report.info(text));
  // A folder system has no devices.
  const [mounted = [], offered = [], places] = await Promise.all([
    qubesd?.mountedDevices(),
    qubesd?.offeredDevices(),
    placesIn(system, qubesd === undefined),
  ]);
  report.say(
    'Removable devices mounted in dom0: LOCATION is a directory or a file on one of them.',
  );
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
      ['VM', 'device', 'what it is', 'size', 'attached to'],
      offered.map((each) => [
        each.backend,
        each.port,
        each.description,
        formatKnownSize(each.size),
        each.attachedTo ?? '',
      ]),
    ),
  );
  report.result({ ok: true, command: 'devices', mounted, offered, places });
  return ExitStatus.done;
}

/**
 * The VMs that backups can be stored in and read from: running VMs first, dom0 last.
 *
 * @param runsAll whether all count as running, since none has to be started
 */
async function placesIn(system: QubesSystem, runsAll: boolean) {
  const listed = await system.list();
  const all = listed.map((each) => ({ ...each, isRunning: each.isRunning || runsAll }));
  const rank = ({ className, isRunning }: ListedQube): number =>
    className === 'AdminVM' ? 2 : isRunning ? 0 : 1;
  return all
    .filter(({ className }) => className !== 'TemplateVM')
    .sort((one, other) => rank(one) - rank(other) || (one.name < other.name ? -1 : 1))
    .map(({ name, className, isRunning }) => ({ name, class: className, running: isRunning }));
}
