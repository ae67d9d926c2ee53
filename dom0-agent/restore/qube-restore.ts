import type { Outcome } from '../contents/outcome.ts';
import type { PlannedRestore } from './plan-qube.ts';
import type { SmallFiles } from './restore-settings.ts';

/** A VM on its way out of a backup. */
export interface QubeRestore {
  readonly planned: PlannedRestore;
  readonly smallFiles: SmallFiles;
  readonly volumesDone: Set<string>;
  size: number;
  used: number;
  /** The settings that this system refused. */
  readonly refused: string[];
  /** Why it failed, once it did. */
  failure: string | undefined;
}

export function newQubeRestore(planned: PlannedRestore): QubeRestore {
  return {
    planned,
    smallFiles: {},
    volumesDone: new Set(),
    size: 0,
    used: 0,
    refused: [],
    failure: undefined,
  };
}

export function outcomeOf({ planned, size, used, refused, failure }: QubeRestore): Outcome {
  const { name } = planned.newQube;
  if (failure !== undefined) {
    return { name, result: 'failed', size: undefined, used: 0, remarks: [failure] };
  }
  const result = refused.length === 0 ? 'restored' : 'restored in part';
  return { name, result, size, used, remarks: [...planned.remarks, ...refused] };
}
