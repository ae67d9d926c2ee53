#!/usr/bin/env node
/**
 * A double of /usr/lib/qubes/qrexec-client for calls from dom0 to a VM, which behaves as the real one of R4.2 and R4.3 was
 * observed to. Run through the script that `programs.ts` writes:
 *   qrexec-client.mjs SETTINGS -d VM 'DEFAULT:QUBESRPC SERVICE+ARG dom0'
 * SETTINGS is a JSON file: { socketPath, services: { VM: directory }, homes: { VM: directory },
 * workingDirectory?, refuse?, dieAfter?, vmDiesAfter? }. Services start in `workingDirectory` instead of the home,
 * `refuse` makes every call end with the status of a refused one, and the last two kill the service, or the VM, after so
 * many bytes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

// libqrexec/qrexec.h of qubes-core-qrexec; without a status from the VM it is -1.
const EXIT = { problem: 125, refused: 126, connectionLost: 255 };

const [settingsPath, ...words] = process.argv.slice(2);
const settings = JSON.parse(readFileSync(settingsPath, 'utf8'));

while (words[0] === '-t' || words[0] === '-T') words.shift();
const [option, vm, command, ...surplus] = words;
const call = /^DEFAULT:QUBESRPC ([^ +]+)\+(\S*) dom0$/.exec(command ?? '');
if (option !== '-d' || call === null || surplus.length > 0) {
  process.stderr.write('usage: qrexec-client [options] -d domain_name [...] user:remote_cmdline\n');
  process.exit(1);
}
const [, service, argument] = call;

async function state() {
  const socket = connect({ path: settings.socketPath, allowHalfOpen: true });
  socket.end(`admin.vm.CurrentState+ dom0 name ${vm}\0`);
  return (await text(socket)).replace(/.*power_state=/s, '');
}

function log(place, message) {
  const time = new Date().toISOString().replace('T', ' ').slice(0, 23);
  process.stderr.write(`${time} qrexec-client[${process.pid}]: ${place}: ${message}\n`);
}

if ((await state()) !== 'Running') {
  const file = 'qrexec-daemon-common.c';
  log(
    `${file}:263:connect_unix_socket`,
    `connect /var/run/qubes/qrexec.${vm}: No such file or directory`,
  );
  log(`${file}:31:negotiate_connection_params`, 'write daemon: Bad file descriptor');
  process.exit(EXIT.problem);
}
if (settings.refuse) process.exit(EXIT.refused);

const agent = spawn(
  process.execPath,
  [
    fileURLToPath(new URL('qrexec-agent.mjs', import.meta.url)),
    settingsPath,
    vm,
    service,
    argument,
  ],
  { stdio: ['pipe', 'pipe', 'pipe'], detached: true },
);
agent.stdin.on('error', () => undefined);
process.stdin.on('error', () => agent.stdin.end());
process.stdin.pipe(agent.stdin);
agent.stderr.pipe(process.stderr);
agent.stdout.pipe(process.stdout);
// If nobody reads any more, the service is not told: its output is dropped.
process.stdout.on('error', () => {
  agent.stdout.unpipe(process.stdout);
  agent.stdout.resume();
});

const [status] = await once(agent, 'close');
if (status === null) {
  log(
    'process_io.c:250:qrexec_process_io',
    'vchan connection closed early (fds: 1 0 -1, status: -1 -1)',
  );
}
process.exitCode = status ?? EXIT.connectionLost;
process.stdin.destroy();
