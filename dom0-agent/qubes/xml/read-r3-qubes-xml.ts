import { Element } from '@xmldom/xmldom';
import { DamagedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import type {
  BackedUpHome,
  BackedUpQube,
  BackupContents,
  UnusableQube,
} from '../backup-contents.ts';
import { type R3Names, nameR3Qubes } from './r3-names.ts';
import { type R3Collection, translateR3Qube } from './r3-qube.ts';
import { parseStrictXml } from './strict-xml.ts';

/** The elements that are VMs. Running disposables (QubesDisposableVm) are ignored. */
const VM_ELEMENT = /^Qubes(Admin|Template|TemplateH|App|H|Net|Proxy)Vm$/;
const WHAT = 'qubes.xml in the backup';

/**
 * Parses the qubes.xml of a backup of formats 2 and 3: an element for each VM, everything in attributes,
 * references by number (docs/official-formats.md). The settings are converted to those of R4, as the official
 * tool does (qubes-core-admin-client, qubesadmin/backup/core2.py). The text is authenticated, but a compromised
 * old system may have written it. Names and settings that Qubes no longer accepts are changed or left out, with
 * a remark; a VM that cannot be parsed is unusable. Throws DamagedError for what is not a list of VMs at all.
 */
export function readR3QubesXml(untrustedText: string): BackupContents {
  const root = parseStrictXml(untrustedText, WHAT);
  if (root.tagName !== 'QubesVmCollection') throw new DamagedError(`${WHAT} is not a list of VMs`);
  const elements = Array.from(root.childNodes).filter((node) => node instanceof Element);
  const known = elements.filter(({ tagName }) => VM_ELEMENT.test(tagName));
  const names = nameR3Qubes(known.filter((vm) => !isDom0(vm)));
  const collection = { root, nameOf: names.nameOf };
  const directories = new Set<string>();
  const qubes: BackedUpQube[] = [];
  const unusable: UnusableQube[] = [];
  let dom0Home: BackedUpHome | undefined;
  for (const vm of elements.filter((each) => each.getAttribute('backup_content') === 'True')) {
    try {
      if (!VM_ELEMENT.test(vm.tagName))
        throw new DamagedError('coffer does not know its type of VM');
      const directory = directoryOf(vm);
      if (directories.has(directory))
        throw new DamagedError(`${WHAT} puts it in another VM's place`);
      if (isDom0(vm)) dom0Home ??= homeOf(vm);
      else qubes.push(backedUp(vm, directory, names, collection));
      directories.add(directory);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      unusable.push(unusableQube(vm, error.message));
    }
  }
  return { created: undefined, qubes, dom0Home, unusable };
}

function isDom0(vm: Element): boolean {
  return vm.tagName === 'QubesAdminVm' || vm.getAttribute('qid') === '0';
}

function backedUp(
  vm: Element,
  directory: string,
  { formerNames, unnamed }: R3Names,
  collection: R3Collection,
): BackedUpQube {
  const why = unnamed.get(vm);
  if (why !== undefined) throw new DamagedError(why);
  const { qube, remarks } = translateR3Qube(vm, collection);
  const formerName = formerNames.get(qube.qid);
  if (formerName !== undefined) {
    remarks.unshift(`called "${formerName}" in the backup, a name that Qubes no longer accepts`);
  }
  return { qube, formerName, directory, size: sizeOf(vm), remarks };
}

function homeOf(dom0: Element): BackedUpHome {
  const directory = directoryOf(dom0);
  const user = /^dom0-home\/([^/]+)$/.exec(directory)?.[1];
  if (user === undefined) throw new DamagedError(`${WHAT} does not say where dom0's home is`);
  return { directory, user, size: sizeOf(dom0) };
}

function unusableQube(vm: Element, why: string): UnusableQube {
  const untrustedName = vm.getAttribute('name') ?? '';
  return {
    name: printable(untrustedName === '' ? 'a VM without a name' : untrustedName, 40),
    why,
    directory: plainDirectoryOf(vm),
  };
}

/** Throws DamagedError when there is none. */
function directoryOf(vm: Element): string {
  const directory = plainDirectoryOf(vm);
  if (directory !== undefined) return directory;
  throw new DamagedError(`${WHAT} does not say where its files are`);
}

/** A relative path of plain names. */
function plainDirectoryOf(vm: Element): string | undefined {
  const untrustedPath = (vm.getAttribute('backup_path') ?? '').replace(/\/$/, '');
  const parts = untrustedPath.split('/');
  const isPlain = parts.every((part) => /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,99}$/.test(part));
  return isPlain && parts.length <= 4 ? untrustedPath : undefined;
}

function sizeOf(vm: Element): number {
  const untrustedSize = vm.getAttribute('backup_size') ?? '';
  return /^[0-9]{1,15}$/.test(untrustedSize) ? Number(untrustedSize) : 0;
}
