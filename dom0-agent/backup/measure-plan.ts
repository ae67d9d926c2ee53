import type { Dom0Home } from '../qubes/system.ts';
import type { BackupPlan } from './plan-backup.ts';
import { type TreeSize, sizeOfTree } from './size-of-tree.ts';

/** A plan, with the size of what the system does not tell of. */
export interface MeasuredPlan extends BackupPlan {
  readonly dom0Home: MeasuredHome | undefined;
}

export interface MeasuredHome extends Dom0Home {
  readonly size: TreeSize;
}

/** Measures dom0's home, if it is in the plan. Throws RefusedError when it cannot be read. */
export async function measurePlan(plan: BackupPlan): Promise<MeasuredPlan> {
  const { dom0Home } = plan;
  if (dom0Home === undefined) return { ...plan, dom0Home };
  return { ...plan, dom0Home: { ...dom0Home, size: await sizeOfTree(dom0Home.path) } };
}
