/** What steers a VM, and what paranoid mode asks about. */
export type Setting = 'property' | 'feature' | 'device' | 'firewall' | 'menu';

/** The choice of what the VM is booted with. */
const STEERING_PROPERTIES = new Set(['kernel', 'kernelopts', 'bootmode', 'appvm_default_bootmode']);

/** Menu entries, and what they run. */
const STEERING_FEATURES = /^((default-|netvm-)?menu-|appmenus-|boot-mode\.)/;

/**
 * Whether paranoid mode restores a setting of a VM. Left out is what a compromised old system could
 * have set to gain influence on the new one: devices, firewall rules, menu entries, the kernel.
 */
export function isKeptWhenParanoid(kind: Setting, name: string): boolean {
  switch (kind) {
    case 'device':
    case 'firewall':
    case 'menu':
      return false;
    case 'feature':
      return !STEERING_FEATURES.test(name);
    case 'property':
      return !STEERING_PROPERTIES.has(name);
  }
}
