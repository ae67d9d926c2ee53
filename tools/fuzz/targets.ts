import { ARCHIVE_TARGETS } from './archive-targets.ts';
import { SETTINGS_TARGETS } from './settings-targets.ts';
import type { Target } from './target.ts';
import { WIRE_TARGETS } from './wire-targets.ts';

/** Everything that parses data from the other side of the trust boundary. */
export const TARGETS: readonly Target[] = [
  ...WIRE_TARGETS,
  ...ARCHIVE_TARGETS,
  ...SETTINGS_TARGETS,
];
