import type { PlacedVolume, VolumeDriver } from '../pools/pool-driver.ts';
import { type Capture, type PoolDetector, captureOpened } from './pool-detector.ts';

/**
 * The detector for pools that do not report what changed in a volume. They may show that a volume was not written to at
 * all.
 *
 * @param identityOf see `PoolDetector`
 */
export function plainDetector(
  driver: VolumeDriver,
  identityOf: PoolDetector['identityOf'] = () => Promise.resolve(undefined),
): PoolDetector {
  return {
    identityOf,
    holds: (placed) => driver.holds(placed),
    capture: ({ placed }) =>
      captureWhole(driver, placed, identityOf, 'its pool does not report what changes'),
    seal: () => Promise.resolve(),
    tidy: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/**
 * Captures a volume as its driver opens it, without what changed in it. Its identity only counts if it is the same
 * before and after opening.
 *
 * @param why why it is not known what changed, in words
 */
export async function captureWhole(
  driver: VolumeDriver,
  placed: PlacedVolume,
  identityOf: PoolDetector['identityOf'],
  why: string,
): Promise<Capture> {
  const identity = await identityOf(placed);
  return await captureOpened(driver, placed, async (opened) => {
    const found = {
      identity: identity === (await identityOf(placed)) ? identity : undefined,
      ...{ changed: why, extents: undefined, note: undefined },
    };
    return {
      opened,
      compare: () => Promise.resolve(found),
      [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
    };
  });
}
