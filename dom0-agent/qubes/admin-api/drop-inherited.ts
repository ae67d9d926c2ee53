import { isTagOfQubesd } from '../qube.ts';
import type { AdminApi } from './admin-api.ts';
import { NO_FIREWALL } from './no-firewall.ts';
import { NOT_SETTINGS } from './identity-properties.ts';
import { linesOf, parseProperties } from './replies.ts';

/**
 * Takes from a new disposable what it was not given: it begins with copies of its template's
 * properties, features, tags and firewall (DispVM.__init__ in qubes/vm/dispvm.py of qubes-core-admin).
 *
 * @param kept the tags and features that it was given
 */
export async function dropInherited(
  api: AdminApi,
  name: string,
  kept: { readonly tags: ReadonlySet<string>; readonly features: ReadonlyMap<string, string> },
): Promise<void> {
  for (const property of parseProperties(await api(name, 'admin.vm.property.GetAll'))) {
    if (property.isDefault || property.name === 'template' || NOT_SETTINGS.has(property.name)) {
      continue;
    }
    await api(name, 'admin.vm.property.Reset', property.name);
  }
  for (const feature of linesOf(await api(name, 'admin.vm.feature.List'))) {
    if (!kept.features.has(feature)) await api(name, 'admin.vm.feature.Remove', feature);
  }
  for (const tag of linesOf(await api(name, 'admin.vm.tag.List'))) {
    if (!isTagOfQubesd(tag) && !kept.tags.has(tag)) await api(name, 'admin.vm.tag.Remove', tag);
  }
  if ((await api(name, 'admin.vm.firewall.Get')) !== NO_FIREWALL) {
    await api(name, 'admin.vm.firewall.Set', '', { payload: NO_FIREWALL });
  }
}
