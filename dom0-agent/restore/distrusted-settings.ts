/** The kinds of settings that `--distrust-settings` decides on. */
export type Setting = 'property' | 'feature' | 'tag' | 'revisions' | 'device';

/** What the VM boots, and whether it starts automatically. */
const CONTROLLING_PROPERTIES = new Set([
  'kernel',
  'kernelopts',
  'bootmode',
  'appvm_default_bootmode',
  'autostart',
]);

/** Which other VMs handle its windows and audio, or manage it. */
const SERVICE_QUBES = new Set(['guivm', 'audiovm', 'management_dispvm']);

/**
 * Any program may read features, also in dom0: the menu, the GUI (`gui-allow-fullscreen` lets a VM use the
 * whole screen), the emulator. Only these are known to affect nothing but the VM itself, or to restrict
 * something.
 */
const FEATURES_OF_THE_VM_ITSELF =
  /^((service|supported-service|supported-feature|supported-rpc|vm-config|net)\..*|os(-.*)?|qrexec|gui|vmexec|check-updates|prohibit-start)$/;

/**
 * In a policy a tag may allow something or forbid it. These forbid, in Qubes' own policy
 * (90-default.policy of qubes-core-admin): without them a VM could do more.
 */
const RESTRICTING_TAGS = new Set(['anon-vm', 'whonix-updatevm']);

/**
 * Whether a setting of a VM is restored even though settings are distrusted. What a compromised old system could have
 * set to gain influence on the new one is left out. What only restricts the VM is kept, as are its firewall rules: the
 * VM must not be able to do more than before.
 */
export function isKeptThoughDistrusted(kind: Setting, name: string, value: string): boolean {
  switch (kind) {
    case 'device':
      return false;
    case 'tag':
      return RESTRICTING_TAGS.has(name);
    case 'revisions':
      // Larger numbers than Qubes' default could fill the pool.
      return Number(value) <= 1;
    case 'feature':
      return FEATURES_OF_THE_VM_ITSELF.test(name) || (name.startsWith('gui-') && value === '');
    case 'property':
      if (SERVICE_QUBES.has(name)) return value === '';
      // The mode of Xen with the largest attack surface.
      if (name === 'virt_mode') return value !== 'pv';
      return !CONTROLLING_PROPERTIES.has(name);
  }
}
