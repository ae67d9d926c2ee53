import type { Element } from '@xmldom/xmldom';
import { printable } from '../../../shared/printable.ts';
import { freeName, isValidQubeName } from '../qube.ts';

/** The names of the VMs in a list of R3, by qid. */
export interface R3Names {
  readonly nameOf: ReadonlyMap<number, string>;
  /** The original names of those that were renamed. */
  readonly formerNames: ReadonlyMap<number, string>;
  /** Entries that cannot be named, and why: without a unique qid, nothing can refer to them. */
  readonly unnamed: ReadonlyMap<Element, string>;
}

/**
 * Gives each VM a name that Qubes accepts today. R2 and R3 accepted names that R4 does not: `my-dm`, `default`
 * (qubes.vm.validate_name in qubes-core-admin). They become `my-dm-1` and `default-1`.
 */
export function nameR3Qubes(untrustedVms: readonly Element[]): R3Names {
  const nameOf = new Map([[0, 'dom0']]);
  const formerNames = new Map<number, string>();
  const unnamed = new Map<Element, string>();
  const taken = new Set(['dom0', ...untrustedVms.map(untrustedNameOf).filter(isValidQubeName)]);
  const given = new Set(['dom0']);
  for (const untrustedVm of untrustedVms) {
    const qid = qidOf(untrustedVm);
    if (qid === undefined || nameOf.has(qid)) {
      unnamed.set(untrustedVm, 'the list of VMs gives it no unique number (qid)');
      continue;
    }
    const untrustedName = untrustedNameOf(untrustedVm);
    const isGood = isValidQubeName(untrustedName) && !given.has(untrustedName);
    const name = isGood ? untrustedName : freeName(similarName(untrustedName), taken);
    if (name === undefined) {
      unnamed.set(untrustedVm, 'too many VMs have similar names');
      continue;
    }
    nameOf.set(qid, name);
    given.add(name);
    taken.add(name);
    if (!isGood) formerNames.set(qid, printable(untrustedName, 40));
  }
  return { nameOf, formerNames, unnamed };
}

/** The qid of a VM; undefined when it has none. */
export function qidOf(untrustedVm: Element): number | undefined {
  const untrustedQid = untrustedVm.getAttribute('qid') ?? '';
  return /^[0-9]{1,9}$/.test(untrustedQid) ? Number(untrustedQid) : undefined;
}

function untrustedNameOf(untrustedVm: Element): string {
  return untrustedVm.getAttribute('name') ?? '';
}

/** A similar name that Qubes accepts as the beginning of a name. */
function similarName(untrustedName: string): string {
  const plain = untrustedName.replace(/[^a-zA-Z0-9_.-]/g, '_');
  return /^[a-zA-Z]/.test(plain) ? plain : `vm${plain}`;
}
