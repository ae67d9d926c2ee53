import { writeFileSync } from 'node:fs';
import { homeTar } from '../../dom0-agent/backup/dom0-home.ts';

/** Writes the inner tar of a home to standard output, for tests as another user. */
const [home = ''] = process.argv.slice(2);
const { signal } = new AbortController();
for await (const chunk of homeTar(home, 'dom0-home/home', (text) => console.error(text), signal)) {
  writeFileSync(1, chunk);
}
