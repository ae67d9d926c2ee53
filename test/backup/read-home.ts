import { writeFileSync } from 'node:fs';
import { homeTar } from '../../dom0-agent/backup/home-tar.ts';
import { sizeOfTree } from '../../dom0-agent/backup/plan-home.ts';
import { messageOf } from '../../shared/errors.ts';
import { NotedRemarks } from './noted-remarks.ts';

/**
 * For tests as another user: writes the inner tar of a home into a file, and to standard output, as
 * JSON, what came of it. `read-home HOME TAR`, or `read-home HOME` to measure it only.
 */
const [home = '', tar] = process.argv.slice(2);
const { signal } = new AbortController();
const remarks = new NotedRemarks();
let failure: string | undefined;
try {
  if (tar === undefined) await sizeOfTree(home);
  else {
    writeFileSync(tar, '');
    for await (const chunk of homeTar(home, 'dom0-home/home', remarks, signal)) {
      writeFileSync(tar, chunk, { flag: 'a' });
    }
  }
} catch (error) {
  failure = messageOf(error);
}

console.log(JSON.stringify({ failure, changes: remarks.changes, gaps: remarks.gaps }));
