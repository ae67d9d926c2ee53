import { FailedError, RefusedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { isValidQubeName } from '../qube.ts';
import type { NewQube } from '../system.ts';
import { AdminApiError } from './admin-api-error.ts';
import type { AdminApi } from './admin-api.ts';
import { dropInherited } from './drop-inherited.ts';
import { AnswerLostError } from './retry-on-restart.ts';

/** Makes a VM that has what it is to have from the start, and else the defaults. */
export async function createQube(api: AdminApi, qube: NewQube): Promise<void> {
  const { name, qubeClass } = qube;
  const tags = qube.tags ?? new Set<string>();
  const features = qube.features ?? new Map<string, string>();
  try {
    await api('dom0', ...creationCall(qube));
  } catch (error) {
    if (!saysNameIsTaken(error)) throw error;
    if (error instanceof AnswerLostError) throw cannotTell(name);
    throw new RefusedError(`a VM called ${name} exists already: nothing of it was changed`);
  }
  try {
    for (const tag of tags) await api(name, 'admin.vm.tag.Set', tag);
    for (const [feature, payload] of features) {
      await api(name, 'admin.vm.feature.Set', feature, { payload });
    }
    if (qubeClass === 'DispVM') await dropInherited(api, name, { tags, features });
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
    `qubesd went away while ${name} was created, and now there is a VM of that name: coffer cannot tell ` +
      `whether it is its own, and leaves it as it is; look at it, remove it if it is empty, and begin again`,
  );
}

/** Whether a creation was refused because there is such a VM. R4.2 and R4.3 say it in words only. */
function saysNameIsTaken(error: unknown): boolean {
  if (!(error instanceof AdminApiError)) return false;
  if (error.type === 'QubesVMAlreadyExistsError') return true;
  return error.type === 'QubesValueError' && /VM \S+ already exists/.test(error.message);
}

/** `admin.vm.Create.<class>+<template>`, or `CreateInPool` where a pool is chosen. */
function creationCall(qube: NewQube): [string, string, { payload: string }] {
  const { name, qubeClass, label, template, pool } = qube;
  if (!isValidQubeName(name)) throw new RefusedError(`"${printable(name)}" is no name for a VM`);
  const words = { name, label, ...(pool === undefined ? {} : { pool }) };
  for (const [key, value] of Object.entries(words)) {
    if (!/^[^\s=\0]+$/.test(value)) {
      throw new RefusedError(`${name} cannot be made with the ${key} "${printable(value)}"`);
    }
  }
  const payload = Object.entries(words)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ');
  const method = pool === undefined ? 'Create' : 'CreateInPool';
  return [`admin.vm.${method}.${qubeClass}`, template ?? '', { payload }];
}
