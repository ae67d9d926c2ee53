import { UsageError } from '../../shared/errors.ts';

/** Throws UsageError when a VM's name stands twice on the command line. */
export function refuseRepeated(names: readonly string[]): void {
  const repeated = names.find((name, position) => names.indexOf(name) !== position);
  if (repeated !== undefined) throw new UsageError(`${repeated} is named twice: once is enough`);
}
