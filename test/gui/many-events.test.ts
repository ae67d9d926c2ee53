import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';
import { expect, it, onTestFinished } from 'vitest';

const COUNT = 30_000;
const TELL = `i=0; while [ $i -lt ${COUNT} ]; do i=$((i+1)); echo "{\\"event\\":\\"info\\",\\"sentence\\":\\"$i\\"}"; done`;

it('a window receives every event, however many there are and whatever it keeps of them', async () => {
  const scratch = mkdtempSync(path.join(tmpdir(), 'coffer-events-'));
  onTestFinished(() => rmSync(scratch, { recursive: true }));
  const outfile = path.join(scratch, 'read-events');
  await build({
    ...{ entryPoints: ['test/gui/driver/read-events.ts'], outfile, bundle: true },
    ...{ platform: 'neutral', format: 'esm', target: 'firefox102', external: ['gi://*', 'system'] },
  });
  const run = spawnSync('gjs', ['-m', outfile, 'sh', '-c', TELL], {
    ...{ encoding: 'utf8', timeout: 60_000 },
  });
  expect(run).toMatchObject({ stdout: `${COUNT} events\n`, status: 0 });
}, 120_000);
