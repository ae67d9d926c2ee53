/** What steers a VM, and what paranoid mode asks about. */
export type Setting = 'property' | 'feature' | 'tag' | 'revisions' | 'device' | 'menu';

/** The choice of what the VM is booted with, and whether it starts unasked. */
const STEERING_PROPERTIES = new Set([
  'kernel',
  'kernelopts',
  'bootmode',
  'appvm_default_bootmode',
  'autostart',
]);

/** Which other VM has its windows and its sound, or manages it. */
const SERVING_QUBES = new Set(['guivm', 'audiovm', 'management_dispvm']);

/**
 * Features are read by whoever likes, in dom0 too: the menu, the screen (`gui-allow-fullscreen` lets a VM
 * paint all of it), the emulator. Only these are known to matter to nothing but the VM itself, or to
 * forbid something.
 */
const FEATURES_OF_THE_VM_ITSELF =
  /^((service|supported-service|supported-feature|supported-rpc|vm-config|net)\..*|os(-.*)?|qrexec|gui|vmexec|check-updates|prohibit-start)$/;

/**
 * In a policy a tag may allow something as well as forbid it. These forbid, in Qubes' own policy
 * (90-default.policy of qubes-core-admin): without them a VM could do more.
 */
const RESTRICTING_TAGS = new Set(['anon-vm', 'whonix-updatevm']);

/**
 * Whether paranoid mode restores a setting of a VM. Left out is what a compromised old system could
 * have set to gain influence on the new one. What only takes something away from the VM stays, as do its
 * firewall rules: it must not come out of the restore with more than it had.
 */
export function isKeptWhenParanoid(kind: Setting, name: string, value: string): boolean {
  switch (kind) {
    case 'device':
    case 'menu':
      return false;
    case 'tag':
      return RESTRICTING_TAGS.has(name);
    case 'revisions':
      // More than Qubes' default could fill the pool.
      return Number(value) <= 1;
    case 'feature':
      return FEATURES_OF_THE_VM_ITSELF.test(name) || (name.startsWith('gui-') && value === '');
    case 'property':
      if (SERVING_QUBES.has(name)) return value === '';
      // The mode that leaves most of Xen within reach of the VM.
      if (name === 'virt_mode') return value !== 'pv';
      return !STEERING_PROPERTIES.has(name);
  }
}
