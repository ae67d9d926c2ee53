import { Element } from '@xmldom/xmldom';
import { DamagedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { type Qube, isValidQubeName } from '../qube.ts';
import { type R3Collection, qidOf, translateR3Qube } from './r3-qube.ts';
import { parseStrictXml } from './strict-xml.ts';

/** The elements that stand for VMs. Disposables of the moment (QubesDisposableVm) are passed over. */
const VM_ELEMENT = /^Qubes(Admin|Template|TemplateH|App|H|Net|Proxy)Vm$/;
const WHAT = 'qubes.xml in the backup';

/** A VM in a backup of formats 2 and 3. */
export interface R3BackedUpQube {
  readonly qube: Qube;
  /** Its directory in the archive: `vm5`, `appvms/work`. */
  readonly directory: string;
  /** Bytes on disk, as the backup tells. */
  readonly size: number;
}

/** dom0's home in such a backup. */
export interface R3BackedUpHome {
  /** `dom0-home/user` */
  readonly directory: string;
  readonly user: string;
  /** Bytes on disk, as the backup tells. */
  readonly size: number;
}

/** What the qubes.xml of such a backup tells. It does not tell when the backup was made. */
export interface R3BackupContents {
  readonly created: undefined;
  readonly qubes: readonly R3BackedUpQube[];
  /** dom0's home, if it is in the backup. */
  readonly dom0Home: R3BackedUpHome | undefined;
}

/** Whether a qubes.xml has the form of R2 and R3, and not that of R4. */
export function isR3QubesXml(text: string): boolean {
  return /<QubesVmCollection[\s/>]/.test(text.slice(0, 4096));
}

/**
 * Reads the qubes.xml of a backup of formats 2 and 3: an element for each VM, everything in attributes,
 * references by number (docs/official-formats.md). The settings are translated to those of R4, as
 * the official tool does (qubes-core-admin-client, qubesadmin/backup/core2.py). The text is
 * authenticated, but an old system that was compromised may have written it. Throws DamagedError.
 */
export function readR3QubesXml(untrustedText: string): R3BackupContents {
  const root = parseStrictXml(untrustedText, WHAT);
  if (root.tagName !== 'QubesVmCollection') throw new DamagedError(`${WHAT} is not a list of VMs`);
  const elements = Array.from(root.childNodes)
    .filter((node) => node instanceof Element)
    .filter(({ tagName }) => VM_ELEMENT.test(tagName));
  const collection = { root, nameOf: namesByQid(elements) };
  const inBackup = elements.filter((vm) => vm.getAttribute('backup_content') === 'True');
  const qubes = inBackup.filter((vm) => !isDom0(vm)).map((vm) => backedUp(vm, collection));
  const dom0 = inBackup.find(isDom0);
  refuseRepeated(
    qubes.map(({ directory }) => directory),
    'directory',
  );
  return { created: undefined, qubes, dom0Home: dom0 && homeOf(dom0) };
}

function namesByQid(untrustedVms: readonly Element[]): Map<number, string> {
  const names = new Map([[0, 'dom0']]);
  for (const untrustedVm of untrustedVms.filter((vm) => !isDom0(vm))) {
    const untrustedName = untrustedVm.getAttribute('name') ?? '';
    if (!isValidQubeName(untrustedName) || untrustedName === 'dom0') {
      throw new DamagedError(
        `${WHAT} has a VM with a name that Qubes forbids: ${printable(untrustedName, 40)}`,
      );
    }
    const qid = qidOf(untrustedVm);
    if (names.has(qid)) throw new DamagedError(`${WHAT} has two VMs with the number ${qid}`);
    names.set(qid, untrustedName);
  }
  refuseRepeated([...names.values()], 'name');
  return names;
}

function isDom0(vm: Element): boolean {
  return vm.tagName === 'QubesAdminVm' || vm.getAttribute('qid') === '0';
}

function backedUp(vm: Element, collection: R3Collection): R3BackedUpQube {
  return {
    qube: translateR3Qube(vm, collection),
    directory: directoryOf(vm),
    size: sizeOf(vm),
  };
}

function homeOf(dom0: Element): R3BackedUpHome {
  const directory = directoryOf(dom0);
  const user = /^dom0-home\/([^/]+)$/.exec(directory)?.[1];
  if (user === undefined) throw new DamagedError(`${WHAT} does not say where dom0's home is`);
  return { directory, user, size: sizeOf(dom0) };
}

/** A relative path of plain names. */
function directoryOf(vm: Element): string {
  const untrustedPath = (vm.getAttribute('backup_path') ?? '').replace(/\/$/, '');
  const parts = untrustedPath.split('/');
  if (
    !parts.every((part) => /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,99}$/.test(part)) ||
    parts.length > 4
  ) {
    throw new DamagedError(`${WHAT} does not say where the files of a VM are`);
  }
  return untrustedPath;
}

function sizeOf(vm: Element): number {
  const untrustedSize = vm.getAttribute('backup_size') ?? '';
  return /^[0-9]{1,15}$/.test(untrustedSize) ? Number(untrustedSize) : 0;
}

function refuseRepeated(values: readonly string[], what: string): void {
  if (new Set(values).size !== values.length) {
    throw new DamagedError(`${WHAT} has two VMs with the same ${what}`);
  }
}
