import { setTimeout as sleep } from 'node:timers/promises';

/** Longer than anything takes on the busiest machine, and within the time limit of a test. */
const PATIENCE = 60_000;

/** Waits until a condition holds; after a minute it fails, with the name of the condition. */
export async function eventually(holds: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`it does not come about: ${what}`);
    await sleep(20);
  }
}
