import { RefusedError } from '../../../shared/errors.ts';
import { formatFirewallLines, NO_FIREWALL, parseFirewallLines } from '../firewall.ts';
import type { QubesSystem } from '../system.ts';
import { isAdminApiError } from './admin-api-error.ts';
import type { AdminApi } from './admin-api.ts';
import { formatAssignment, formatAssignmentForR42 } from './device-text.ts';
import { linesOf } from './replies.ts';

/** The methods of a system that read or change a VM's settings. */
type QubeSettings = Pick<
  QubesSystem,
  | 'feature'
  | 'tags'
  | 'firewall'
  | 'notes'
  | 'setProperty'
  | 'resetProperty'
  | 'setFeature'
  | 'removeFeature'
  | 'setTag'
  | 'removeTag'
  | 'setVolume'
  | 'setFirewall'
  | 'setNotes'
  | 'assignDevice'
>;

/**
 * A VM's settings, through the Admin API.
 *
 * @param isR42 whether this is Qubes R4.2, whose calls for devices differ and which keeps no notes
 */
export function qubeSettings(api: AdminApi, isR42: () => Promise<boolean>): QubeSettings {
  return {
    async feature(name, feature) {
      try {
        return await api(name, 'admin.vm.feature.Get', feature);
      } catch (error) {
        if (isAdminApiError(error, 'QubesFeatureNotFoundError')) return undefined;
        throw error;
      }
    },

    tags: async (name) => new Set(linesOf(await api(name, 'admin.vm.tag.List'))),

    async firewall(name) {
      if (name === 'dom0') return undefined;
      const lines = await api(name, 'admin.vm.firewall.Get');
      return lines === NO_FIREWALL ? undefined : parseFirewallLines(lines);
    },

    async notes(name) {
      // R4.2 has no notes; and those of dom0 could not be restored.
      if (name === 'dom0' || (await isR42())) return '';
      return await api(name, 'admin.vm.notes.Get');
    },

    async setProperty(name, property, value) {
      await api(name, 'admin.vm.property.Set', property, { payload: value });
    },

    async resetProperty(name, property) {
      await api(name, 'admin.vm.property.Reset', property);
    },

    async setFeature(name, feature, value) {
      await api(name, 'admin.vm.feature.Set', feature, { payload: value });
    },

    async removeFeature(name, feature) {
      await api(name, 'admin.vm.feature.Remove', feature);
    },

    async setTag(name, tag) {
      await api(name, 'admin.vm.tag.Set', tag);
    },

    async removeTag(name, tag) {
      try {
        await api(name, 'admin.vm.tag.Remove', tag);
      } catch (error) {
        if (!isAdminApiError(error, 'QubesTagNotFoundError')) throw error;
      }
    },

    async setVolume(name, volume, { revisionsToKeep, ephemeral }) {
      const set = (what: string, payload: string): Promise<string> =>
        api(name, `admin.vm.volume.Set.${what}`, volume, { payload });
      if (revisionsToKeep !== undefined) await set('revisions_to_keep', `${revisionsToKeep}`);
      if (ephemeral !== undefined) await set('ephemeral', ephemeral ? 'True' : 'False');
    },

    async setFirewall(name, rules) {
      await api(name, 'admin.vm.firewall.Set', '', { payload: formatFirewallLines(rules) });
    },

    async setNotes(name, notes) {
      // qubesd refuses empty notes, and a new VM has none.
      if (notes === '') return;
      if (await isR42()) throw new RefusedError('Qubes R4.2 keeps no notes');
      await api(name, 'admin.vm.notes.Set', '', { payload: notes });
    },

    async assignDevice(name, device) {
      const call = `admin.vm.device.${device.deviceClass}`;
      if (await isR42()) {
        const { arg, payload } = formatAssignmentForR42(device);
        await api(name, `${call}.Attach`, arg, { payload });
      } else {
        const { arg, payload } = formatAssignment(name, device);
        await api(name, `${call}.Assign`, arg, { payload });
      }
    },
  };
}
