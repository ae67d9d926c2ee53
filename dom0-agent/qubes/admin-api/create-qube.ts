import { FailedError, RefusedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { NO_FIREWALL } from '../firewall.ts';
import { isTagOfQubesd, isValidQubeName } from '../qube.ts';
import type { NewQube } from '../system.ts';
import { AdminApiError } from './admin-api-error.ts';
import type { AdminApi } from './admin-api.ts';
import { IDENTITY_PROPERTIES, linesOf, parseProperties } from './replies.ts';
import { AnswerLostError } from './retry-on-restart.ts';

/** Creates a VM with the settings that it needs from the start, and defaults otherwise. */
export async function createQube(api: AdminApi, qube: NewQube): Promise<void> {
  const { name, qubeClass } = qube;
  const tags = qube.tags ?? new Set<string>();
  const features = qube.features ?? new Map<string, string>();
  try {
    await api('dom0', ...creationCall(qube));
  } catch (error) {
    if (!saysNameIsTaken(error)) throw error;
    if (error instanceof AnswerLostError) throw cannotTell(name);
    throw new RefusedError(`a VM called ${name} already exists: it was not changed`);
  }
  try {
    for (const tag of tags) await api(name, 'admin.vm.tag.Set', tag);
    for (const [feature, payload] of features) {
      await api(name, 'admin.vm.feature.Set', feature, { payload });
    }
    if (qubeClass === 'DispVM') await resetToDefaults(api, name, { tags, features });
    for (const [property, payload] of qube.properties ?? []) {
      await api(name, 'admin.vm.property.Set', property, { payload });
    }
  } catch (error) {
    await api(name, 'admin.vm.Remove');
    throw error;
  }
}

function cannotTell(name: string): FailedError {
  return new FailedError(
    `the connection to qubesd was lost while ${name} was being created, and now there is a VM of that name: ` +
      `coffer cannot tell whether it is its own, and leaves it alone; check it, remove it if it is empty, and ` +
      `try again`,
  );
}

/** Whether a creation was refused because the name is taken. R4.2 and R4.3 say so only in the message. */
function saysNameIsTaken(error: unknown): boolean {
  if (!(error instanceof AdminApiError)) return false;
  if (error.type === 'QubesVMAlreadyExistsError') return true;
  return error.type === 'QubesValueError' && /VM \S+ already exists/.test(error.message);
}

/** `admin.vm.Create.<class>+<template>`, or `CreateInPool` where a pool is chosen. */
function creationCall(qube: NewQube): [string, string, { payload: string }] {
  const { name, qubeClass, label, template, pool } = qube;
  if (!isValidQubeName(name))
    throw new RefusedError(`"${printable(name)}" is not a valid name for a VM`);
  const words = { name, label, ...(pool === undefined ? {} : { pool }) };
  for (const [key, value] of Object.entries(words)) {
    if (!/^[^\s=\0]+$/.test(value)) {
      throw new RefusedError(`${name} cannot be created with the ${key} "${printable(value)}"`);
    }
  }
  const payload = Object.entries(words)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ');
  const method = pool === undefined ? 'Create' : 'CreateInPool';
  return [`admin.vm.${method}.${qubeClass}`, template ?? '', { payload }];
}

/**
 * Removes from a new disposable what it was not given: it starts with copies of its template's
 * properties, features, tags and firewall (DispVM.__init__ in qubes/vm/dispvm.py of qubes-core-admin).
 *
 * @param kept the tags and features that it was given
 */
async function resetToDefaults(
  api: AdminApi,
  name: string,
  kept: { readonly tags: ReadonlySet<string>; readonly features: ReadonlyMap<string, string> },
): Promise<void> {
  for (const property of parseProperties(await api(name, 'admin.vm.property.GetAll'))) {
    if (
      property.isDefault ||
      property.name === 'template' ||
      IDENTITY_PROPERTIES.has(property.name)
    ) {
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
