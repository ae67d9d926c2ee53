#!/usr/bin/env node
/**
 * Plays /usr/lib/qubes/qrexec-client for calls from dom0 to a VM. Run through the script that
 * `programs.ts` writes:
 *   qrexec-client.mjs SETTINGS -d VM 'DEFAULT:QUBESRPC SERVICE+ARG dom0'
 * SETTINGS is a JSON file: { socketPath, services: { VM: directory }, homes: { VM: directory },
 * refuse?, dieAfter? }, where `refuse` makes every call end with the status of a refused one, and
 * `dieAfter` kills the service when it has sent or got so many bytes.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

// libqrexec/qrexec.h of qubes-core-qrexec.
const EXIT = { problem: 125, refused: 126, serviceNotFound: 127 };
/** No message of qrexec's is longer (MAX_DATA_CHUNK_V3). */
const LONGEST = 65_536;

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
  log(
    'qrexec-daemon-common.c:234:connect_unix_socket',
    `connect /var/run/qubes/qrexec.${vm}: No such file or directory`,
  );
  process.exit(EXIT.problem);
}
if (settings.refuse) process.exit(EXIT.refused);
const path = join(settings.services[vm] ?? '/nowhere', service);
try {
  accessSync(path, constants.X_OK);
} catch {
  // The agent writes "Service not found" into the VM's own journal, and nothing comes to dom0.
  process.exit(EXIT.serviceNotFound);
}

const child = spawn(path, argument === '' ? [] : [argument], {
  cwd: settings.homes[vm],
  env: {
    HOME: settings.homes[vm],
    USER: 'user',
    LOGNAME: 'user',
    SHELL: '/bin/bash',
    PATH: '/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin',
    QREXEC_REQUESTED_TARGET_TYPE: '',
    QREXEC_SERVICE_FULL_NAME: `${service}+${argument}`,
    QREXEC_REMOTE_DOMAIN: 'dom0',
    QREXEC_SERVICE_ARGUMENT: argument,
  },
  stdio: ['pipe', 'pipe', 'inherit'],
});

let passed = 0;
async function pass(from, to) {
  for await (const piece of from) {
    for (let at = 0; at < piece.length; at += LONGEST) {
      const message = piece.subarray(at, at + LONGEST);
      await new Promise((resolve) => to.write(message, () => resolve()));
      passed += message.length;
      if (settings.dieAfter !== undefined && passed >= settings.dieAfter) child.kill('SIGKILL');
    }
  }
  to.end();
}
child.stdin.on('error', () => undefined);
process.stdout.on('error', () => child.kill());

const ended = new Promise((resolve) => {
  child.once('exit', (status, signal) => resolve(signal === null ? status : 128 + 9));
});
pass(process.stdin, child.stdin).catch(() => child.stdin.destroy());
await pass(child.stdout, process.stdout).catch(() => undefined);
process.exit(await ended);
