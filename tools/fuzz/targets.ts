import { COFFER1_TARGETS } from './coffer1-targets.ts';
import { HEADER_TARGETS } from './header-targets.ts';
import { SETTINGS_TARGETS } from './settings-targets.ts';
import { TAR_TARGETS } from './tar-targets.ts';
import type { Target } from './target.ts';
import { WIRE_TARGETS } from './wire-targets.ts';

/** Everything that parses data from the other side of the trust boundary. */
export const TARGETS: readonly Target[] = [
  ...WIRE_TARGETS,
  ...TAR_TARGETS,
  ...HEADER_TARGETS,
  ...COFFER1_TARGETS,
  ...SETTINGS_TARGETS,
];
