/**
 * A double of qrexec-agent in a VM, for one call. Run by qrexec-client.mjs; the channel between them stands for the vchan:
 *   qrexec-agent.mjs SETTINGS VM SERVICE ARGUMENT
 * Ends with the status that the real one sends to dom0. Like the real one, it outlives qrexec-client: when dom0
 * disconnects, it closes the service's input and waits for the service to end, without closing the output that the
 * service may still write.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { constants as system } from 'node:os';
import { join } from 'node:path';

// libqrexec/qrexec.h of qubes-core-qrexec.
const EXIT = { problem: 125, serviceNotFound: 127 };
/** The longest message of qrexec (MAX_DATA_CHUNK_V3). */
const LONGEST = 65_536;
/** In milliseconds: a service that does not notice that dom0 has disconnected is then killed, so that the test ends. */
const LONGEST_WAIT = 30_000;

const [settingsPath, vm, service, argument] = process.argv.slice(2);
const settings = JSON.parse(readFileSync(settingsPath, 'utf8'));

// Errors go into the VM's own journal; dom0 gets only the status.
const path = join(settings.services[vm] ?? '/nowhere', service);
if (!existsSync(path)) process.exit(EXIT.serviceNotFound);
try {
  accessSync(path, constants.X_OK);
} catch {
  process.exit(EXIT.problem);
}

const child = spawn(path, argument === '' ? [] : [argument], {
  cwd: settings.workingDirectory ?? settings.homes[vm],
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
  stdio: ['pipe', 'pipe', 'pipe'],
});

let passed = 0;
function note(bytes) {
  passed += bytes;
  if (settings.dieAfter !== undefined && passed >= settings.dieAfter) child.kill('SIGKILL');
  if (settings.vmDiesAfter !== undefined && passed >= settings.vmDiesAfter) {
    child.kill('SIGKILL');
    process.kill(process.pid, 'SIGKILL');
  }
}

async function pass(from, to, isGone) {
  for await (const piece of from) {
    for (let at = 0; at < piece.length; at += LONGEST) {
      const message = piece.subarray(at, at + LONGEST);
      const error = await new Promise((resolve) => to.write(message, resolve));
      // The rest is then dropped, or no longer read.
      if (error && isGone()) return new Promise(() => undefined);
      note(message.length);
    }
  }
  to.end();
}

function dom0IsGone() {
  child.stdin.destroy();
  setTimeout(() => child.kill('SIGKILL'), LONGEST_WAIT).unref();
  child.once('exit', () => process.exit(1));
  return true;
}

child.stdin.on('error', () => undefined);
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
child.stderr.pipe(process.stderr);
pass(process.stdin, child.stdin, () => false).catch(() => child.stdin.destroy());
pass(child.stdout, process.stdout, dom0IsGone).catch(() => undefined);
// Only after its outputs were closed, even if other processes hold them.
child.once('close', (status, signal) => {
  process.exitCode = signal === null ? status : 128 + system.signals[signal];
  process.stdin.destroy();
});
