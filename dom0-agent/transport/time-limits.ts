/** How long the storage VM may take, each in milliseconds. */
export interface TimeLimits {
  /** To answer a request. */
  readonly answer: number;
  /** To say anything while it stores: it sends a heartbeat every second. */
  readonly silence: number;
  /** To accept the next message, or to send the next LEAST_BYTES of data (data-timeout.ts). */
  readonly stall: number;
  /** To make the stored data safe once it has all of it: a slow disk, an upload. */
  readonly finish: number;
  /** To end, once there is nothing left to do. */
  readonly exit: number;
}

/** The limits in use; tests have shorter ones. */
export const TIME_LIMITS: TimeLimits = {
  answer: 60_000,
  silence: 120_000,
  stall: 300_000,
  finish: 3_600_000,
  exit: 5_000,
};
