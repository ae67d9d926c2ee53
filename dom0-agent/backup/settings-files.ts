import { INCOMPLETE, QUBES_XML } from '../archive/archive.ts';
import type { Content } from '../archive/content.ts';
import type { QubesSystem } from '../qubes/system.ts';
import { backupQubesXml } from '../qubes/xml/backup-qubes-xml.ts';
import { formatFirewallXml } from '../qubes/xml/firewall-xml.ts';
import type { ArchiveLayout } from './backup-formats.ts';
import type { PlannedQube } from './plan-backup.ts';
import type { MeasuredPlan } from './plan-home.ts';

/** Where dom0's configuration is in an archive. */
export const DOM0_PATHS = 'dom0-home/paths';

/** qubes.xml: the settings of all VMs in the backup, and what of dom0 is in it. */
export function qubesXmlFile(plan: MeasuredPlan, layout: ArchiveLayout, created: Date): Content {
  const text = backupQubesXml({
    created,
    dom0: plan.dom0,
    dom0Home:
      plan.dom0Home === undefined
        ? undefined
        : {
            directory: layout.homePath,
            user: plan.dom0Home.user,
            size: layout.homeSize,
          },
    dom0Paths: plan.dom0Paths && {
      directory: DOM0_PATHS,
      paths: plan.dom0Paths.paths,
      size: plan.dom0Paths.size.expected,
    },
    qubes: plan.qubes.map((planned) => ({
      qube: planned.qube,
      directory: planned.directory,
      size: layout.qubeSize(planned),
    })),
  });
  return smallFile(QUBES_XML, text);
}

/** The small files of a VM: its firewall's rules and its notes, if it has any. */
export async function settingsOf(
  system: QubesSystem,
  { qube, directory }: PlannedQube,
): Promise<Content[]> {
  const files: Content[] = [];
  const firewall = await system.firewall(qube.name);
  if (firewall !== undefined) {
    files.push(smallFile(`${directory}/firewall.xml`, formatFirewallXml(firewall)));
  }
  const notes = await system.notes(qube.name);
  if (notes !== '') files.push(smallFile(`${directory}/notes.txt`, notes));
  return files;
}

function smallFile(path: string, text: string): Content {
  return { kind: 'file', path, bytes: Buffer.from(text) };
}

/** Every VM has at least one file, so that a missing VM is noticed: the official tools do the same. */
export function emptyFile({ directory }: PlannedQube): Content {
  return smallFile(`${directory}/empty`, '');
}

/** Says that a VM is incomplete in the backup, and why. */
export function incompleteFile({ directory }: PlannedQube, why: string): Content {
  return smallFile(`${directory}/${INCOMPLETE}`, why);
}
