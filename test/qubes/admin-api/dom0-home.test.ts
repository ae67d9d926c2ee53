import { expect, it } from 'vitest';

import { findDom0Home } from '../../../dom0-agent/qubes/admin-api/inspect-dom0.ts';
import { FailedError } from '../../../shared/errors.ts';
import { Commands } from '../pools/commands.ts';

it('dom0’s home is that of the first member of the group "qubes"', async () => {
  const commands = new Commands(
    [/group qubes/, 'qubes:x:98:alice,bob\n'],
    [/passwd alice/, 'alice:x:1000:1000:Alice,,,:/home/al:/bin/bash\n'],
  );
  expect(await findDom0Home(commands.run)).toEqual({ user: 'alice', path: '/home/al' });
});

it('dom0’s home is not found if the group "qubes" is empty', async () => {
  const commands = new Commands([/group qubes/, 'qubes:x:98:\n']);
  await expect(findDom0Home(commands.run)).rejects.toThrow(FailedError);
});
