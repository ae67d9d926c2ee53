/** The cost of scrypt (RFC 7914): 128·N·r bytes of memory, and time proportional to N·r·p. */
export interface ScryptCost {
  readonly n: number;
  readonly r: number;
  readonly p: number;
}

/**
 * The default for coffer-1: 256 MiB and about a second, once per backup, as all other keys are then quick to derive.
 */
export const DEFAULT_COST_LOG2N = 18;
/** From 16 MiB, quick but weak, to 2 GiB. An archive that asks for anything else is refused. */
export const LEAST_COST_LOG2N = 14;
export const GREATEST_COST_LOG2N = 21;

/** The cost that `--kdf-cost LOG2N` means. */
export function scryptCost(log2n: number): ScryptCost {
  return { n: 2 ** log2n, r: 8, p: 1 };
}
