import { type Qube, sizeOfVolumes } from '../qubes/qube.ts';
import type { RestorePlan } from '../restore/plan-restore.ts';

/** The plan of a restore, for programs: docs/json.md. */
export function restorePlanForPrograms(
  { qubes, dom0Home, dom0Paths, leftOut }: RestorePlan,
  abandoned: readonly Qube[],
) {
  return {
    qubes: qubes.map(({ source, newQube, remarks }) => ({
      name: source.qube.name,
      restoredAs: newQube.name,
      class: newQube.qubeClass,
      size: sizeOfVolumes(source.qube),
      used: source.size,
      remarks,
    })),
    dom0Home: dom0Home === undefined ? null : { used: dom0Home.size },
    dom0Paths: dom0Paths && { paths: dom0Paths.paths, used: dom0Paths.size },
    leftOut,
    removedFirst: abandoned.map(({ name }) => name),
  };
}
