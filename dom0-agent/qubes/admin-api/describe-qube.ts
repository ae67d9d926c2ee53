import { QUBE_CLASSES, type DeviceAssignment, type Qube, uuidOf } from '../qube.ts';
import type { ListedQube } from '../system.ts';
import type { AdminApi } from './admin-api.ts';
import { isAdminApiError } from './admin-api-error.ts';
import { parseAssignments, parseAssignmentsOfR42 } from './device-text.ts';
import { fieldOf, IDENTITY_PROPERTIES, linesOf, parseProperties, parseVolume } from './replies.ts';

/** What describing a VM needs to know about the system. */
export interface Describing {
  readonly api: AdminApi;
  /** The reply of `admin.deviceclass.List`. */
  readonly deviceClasses: readonly string[];
  /** Whether this is Qubes R4.2, whose calls for devices differ. */
  readonly isR42: boolean;
}

/**
 * Everything about a VM. Undefined for a VM of a class that is never backed up (a RemoteVM lives on
 * another machine), and for one that was removed after it was listed.
 */
export async function describeQube(
  { name, className }: ListedQube,
  describing: Describing,
): Promise<Qube | undefined> {
  const qubeClass = QUBE_CLASSES.find((known) => known === className);
  if (qubeClass === undefined) return undefined;
  const { api } = describing;
  try {
    const [all, features, tags, devices, volumes] = await Promise.all([
      api(name, 'admin.vm.property.GetAll').then(parseProperties),
      featuresOf(api, name),
      api(name, 'admin.vm.tag.List').then(linesOf),
      // Nobody assigns devices to dom0: it owns them.
      qubeClass === 'AdminVM' ? [] : devicesOf(name, describing),
      volumesOf(api, name),
    ]);
    const valueOf = new Map(all.map((property) => [property.name, property.value]));
    const set = all.filter(({ name, isDefault }) => !isDefault && !IDENTITY_PROPERTIES.has(name));
    return {
      name,
      qubeClass,
      qid: Number(fieldOf(valueOf, 'qid')),
      uuid: uuidOf(valueOf.get('uuid')),
      label: fieldOf(valueOf, 'label'),
      properties: new Map(set.map((property) => [property.name, property.value])),
      features,
      tags: new Set(tags),
      devices,
      volumes,
    };
  } catch (error) {
    if (isAdminApiError(error, 'QubesVMNotFoundError')) return undefined;
    throw error;
  }
}

async function featuresOf(api: AdminApi, name: string): Promise<Map<string, string>> {
  const names = linesOf(await api(name, 'admin.vm.feature.List'));
  const values = await Promise.all(
    names.map(async (feature) => {
      try {
        return [[feature, await api(name, 'admin.vm.feature.Get', feature)] as const];
      } catch (error) {
        if (isAdminApiError(error, 'QubesFeatureNotFoundError')) return [];
        throw error;
      }
    }),
  );
  return new Map(values.flat());
}

async function volumesOf(api: AdminApi, name: string): Promise<Qube['volumes']> {
  const names = linesOf(await api(name, 'admin.vm.volume.List'));
  return await Promise.all(
    names.map(async (volume) =>
      parseVolume(volume, await api(name, 'admin.vm.volume.Info', volume)),
    ),
  );
}

async function devicesOf(
  name: string,
  { api, deviceClasses, isR42 }: Describing,
): Promise<DeviceAssignment[]> {
  const lists = await Promise.all(
    deviceClasses.map(async (deviceClass) =>
      isR42
        ? parseAssignmentsOfR42(deviceClass, await api(name, `admin.vm.device.${deviceClass}.List`))
        : parseAssignments(deviceClass, await api(name, `admin.vm.device.${deviceClass}.Assigned`)),
    ),
  );
  return lists.flat();
}
