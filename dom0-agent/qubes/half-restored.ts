import type { Qube } from './qube.ts';

/**
 * The feature of a VM that a restore is not done with; its value tells which process is at it
 * (volumes/owner.ts). A VM has it from its creation on, so that it never passes for a whole one.
 */
export const HALF_RESTORED = 'coffer-restoring';

export function isHalfRestored({ features }: Pick<Qube, 'features'>): boolean {
  return features.has(HALF_RESTORED);
}
