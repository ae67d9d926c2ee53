import { spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';

import { expect, it } from 'vitest';

import { imagePath } from './volumes.ts';
import { makeImportService } from './programs.ts';
import { RECORDED, makeScene } from './scene.ts';

interface Recorded {
  readonly method: string;
  readonly arg: string;
  readonly dest: string;
  readonly payload: string;
  readonly reply: string;
}
interface RecordedImport {
  readonly arg: string;
  readonly dest: string;
  readonly first_line: string;
  readonly then: string;
  readonly exit_code: number;
  readonly stdout: string;
}

const read = <T>(name: string): T[] =>
  readFileSync(join(RECORDED, name), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T);

async function ask(socketPath: string, call: Recorded): Promise<string> {
  const socket = connect({ path: socketPath, allowHalfOpen: true });
  socket.end(`${call.method}+${call.arg} dom0 name ${call.dest}\0${call.payload}`);
  return (await buffer(socket)).toString();
}

it('the double of qubesd answers every call of the transcript with the recorded bytes', async () => {
  await using scene = await makeScene({
    keepPools: true,
    machine: { uuids: ['0dc2dc8d-53b0-4e82-bfc9-49bb485663e6'] },
  });
  const calls = read<Recorded>('admin-api-transcript.jsonl');
  expect(calls.length).toBeGreaterThan(100);
  for (const call of calls) {
    const reply = await ask(scene.qubesd.socketPath, call);
    expect(reply, `${call.method}+${call.arg} ${call.dest} ${call.payload}`).toBe(call.reply);
  }
});

it('the double of the import service imports volumes as in the transcript', async () => {
  await using scene = await makeScene();
  const { socketPath, store } = scene.qubesd;
  const service = makeImportService(scene.directory, socketPath);
  await ask(socketPath, {
    method: 'admin.vm.Create.AppVM',
    arg: 'fedora-42-xfce',
    dest: 'dom0',
    payload: 'name=restored label=red',
    reply: '',
  });
  for (const recorded of read<RecordedImport>('volume-import-transcript.jsonl')) {
    const child = spawn(service, [recorded.arg], {
      env: {
        QREXEC_REMOTE_DOMAIN: 'dom0',
        QREXEC_REQUESTED_TARGET: recorded.dest.split(' ')[0],
      },
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(recorded.first_line + 'x'.repeat(parseInt(recorded.then)));
    const status = new Promise((resolve) => child.once('close', resolve));
    expect((await buffer(child.stdout)).toString()).toBe(recorded.stdout);
    expect(await status).toBe(recorded.exit_code);
  }
  const volume = store.qubes.get('restored')?.volumes.get('private');
  expect(volume?.size).toBe(1_048_576);
  expect(volume && statSync(imagePath(store, volume)).size).toBe(1_048_576);
});
