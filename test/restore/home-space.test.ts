import { statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';

import { warnOfHomeSpace } from '../../dom0-agent/restore/restore-space.ts';
import { RefusedError } from '../../shared/errors.ts';

const { blocks, bsize } = statfsSync(tmpdir());
/** More than the file system has, and so more than is free. */
const TOO_LARGE = blocks * bsize + 1;

describe('the space for dom0’s home', () => {
  it('is accepted without a warning if it is enough', async () => {
    expect(await warnOfHomeSpace(1, 'coffer-1', tmpdir())).toBeUndefined();
  });

  it('is refused, with both sizes and advice, if the home certainly does not fit', async () => {
    const refused = warnOfHomeSpace(TOO_LARGE, 'coffer-1', tmpdir());
    await expect(refused).rejects.toThrow(RefusedError);
    await expect(refused).rejects.toThrow(/ has .*iB, and .* are free: .*--skip-dom0-home/);
  });

  it("gives a warning if the backup's size includes holes", async () => {
    for (const format of ['qubes-4', 'qubes-3', 'qubes-2'] as const) {
      expect(await warnOfHomeSpace(TOO_LARGE, format, tmpdir())).toMatch(/may not fit/);
    }
  });
});
