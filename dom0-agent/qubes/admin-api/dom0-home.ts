import { FailedError } from '../../../shared/errors.ts';
import type { Dom0Home } from '../system.ts';
import type { Run } from '../../../shared/run-program.ts';

/**
 * dom0's user and their home. Qubes takes the first member of the group `qubes` for the user
 * (start_daemon in qubes/vm/qubesvm.py of qubes-core-admin).
 */
export async function findDom0Home(run: Run): Promise<Dom0Home> {
  // `qubes:x:98:user,other` and `user:x:1000:1000::/home/user:/bin/bash`
  const group = await run('getent', ['group', 'qubes']);
  const user = group.trim().split(':')[3]?.split(',')[0];
  if (!user) {
    throw new FailedError(
      'nobody is in the group "qubes", so it is unknown who the user of dom0 is',
    );
  }
  const account = await run('getent', ['passwd', user]);
  const path = account.trim().split(':')[5];
  if (!path) throw new FailedError(`the user ${user} of dom0 has no home directory`);
  return { user, path };
}
