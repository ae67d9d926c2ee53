import { RefusedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { isValidQubeName } from '../qube.ts';
import type { NewQube } from '../system.ts';

/** `admin.vm.Create.<class>+<template>`, or `CreateInPool` where a pool is chosen. */
export function creationCall(qube: NewQube): [string, string, { payload: string }] {
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
