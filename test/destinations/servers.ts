import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type Server, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { once } from 'node:events';
import { userInfo } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** In milliseconds; the machine may be busy. */
const PATIENCE = 40_000;

/** A server on the loopback interface. */
export interface Running extends AsyncDisposable {
  readonly port: number;
}

/** A port that is free now. It is unlikely that another program takes it before it is used. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server);
  server.close();
  await once(server, 'close');
  return port;
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('it listens nowhere');
  return address.port;
}

async function started(child: ChildProcess, port: number): Promise<Running> {
  const deadline = performance.now() + PATIENCE;
  while (!(await answers(port))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      throw new Error(`nothing listens on ${port}`);
    }
    await sleep(50);
  }
  return {
    port,
    [Symbol.asyncDispose]: () => ended(child),
  };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill();
  await once(child, 'exit');
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/**
 * An OpenSSH server of this user, whose home is a directory of the test: `directory/server`. `options` come before the
 * key that may log in (AUTHORIZED_KEYS in sshd(8)). Its files are in `directory`, `ssh.conf` among them, for a client
 * that calls it `server`.
 */
export async function startSshd(directory: string, options = ''): Promise<Running> {
  const port = await freePort();
  const home = join(directory, 'server');
  mkdirSync(home, { recursive: true });
  for (const key of ['host', 'client']) {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(directory, key)]);
  }
  const publicKey = readFileSync(join(directory, 'client.pub'), 'utf8');
  writeFileSync(
    join(directory, 'authorized'),
    `${options}${options === '' ? '' : ' '}${publicKey}`,
  );
  // The directory for privilege separation, which sshd needs if root starts it.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true });
  // Bash reads the .bashrc of whoever starts the tests, if it is not kept away from it: that can take long.
  writeFileSync(
    join(directory, 'sshd.conf'),
    `ListenAddress 127.0.0.1:${port}
HostKey ${directory}/host
AuthorizedKeysFile ${directory}/authorized
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
SetEnv HOME=${home}
`,
  );
  const hostKey = readFileSync(join(directory, 'host.pub'), 'utf8');
  writeFileSync(join(directory, 'known'), `server ${hostKey}`);
  sshConfig(directory, port);
  const words = ['-D', '-e', '-f', join(directory, 'sshd.conf')];
  return started(spawn(sshdProgram(), words, { stdio: 'ignore' }), port);
}

/** Writes the configuration of the client, which connects to this port. `more` are further lines of it. */
export function sshConfig(directory: string, port: number, more = ''): void {
  writeFileSync(
    join(directory, 'ssh.conf'),
    `Host server
  HostName 127.0.0.1
  HostKeyAlias server
  Port ${port}
  User ${userInfo().username}
  IdentityFile ${directory}/client
  IdentitiesOnly yes
  UserKnownHostsFile ${directory}/known
  BatchMode yes
${more}`,
  );
}

/** The absolute path of sshd, which must be started by it. */
function sshdProgram(): string {
  const script = 'PATH=$PATH:/usr/sbin:/sbin; command -v sshd';
  return execFileSync('sh', ['-c', script], { encoding: 'utf8' }).trim();
}

/** A protocol of rclone for a cloud. */
export type Protocol = 'webdav' | 'sftp' | 's3';

/** A server for a directory: rclone's own, except for S3, which rclone cannot serve before version 1.65. */
export async function startCloud(protocol: Protocol, directory: string): Promise<Running> {
  return await (protocol === 's3'
    ? startScript('s3-server.mjs', [directory])
    : startRclone(protocol, directory));
}

async function startRclone(protocol: Protocol, directory: string): Promise<Running> {
  const port = await freePort();
  const login = ['--user', 'backup', '--pass', 'secret'];
  const words = ['serve', protocol, directory, '--addr', `127.0.0.1:${port}`, ...login];
  const child = spawn('rclone', ['--config', '/dev/null', ...words], {
    stdio: 'ignore',
    env: { ...process.env, HOME: directory, XDG_CACHE_HOME: join(directory, '.cache') },
  });
  return started(child, port);
}

/** Writes a configuration of rclone with the remote `cloud`; returns its path. */
export function rcloneConfig(directory: string, protocol: Protocol, port: number): string {
  const password = execFileSync('rclone', ['obscure', 'secret'], { encoding: 'utf8' }).trim();
  const login = `user = backup\npass = ${password}`;
  const url = `http://127.0.0.1:${port}`;
  const where: Record<Protocol, string> = {
    webdav: `url = ${url}\nvendor = other\n${login}`,
    sftp: `host = 127.0.0.1\nport = ${port}\n${login}`,
    s3: `provider = Other\nendpoint = ${url}\naccess_key_id = backup\nsecret_access_key = secret`,
  };
  const file = join(directory, `rclone-${protocol}.conf`);
  writeFileSync(file, `[cloud]\ntype = ${protocol}\n${where[protocol]}\n`);
  return file;
}

/**
 * A proxy to a port that resets its first connections, each after so many bytes to the server. It is a process of its
 * own, because a test blocks while it runs coffer.
 */
export async function breakingProxy(
  port: number,
  { times, after }: { times: number; after: number },
): Promise<Running & { readonly broken: () => Promise<number> }> {
  const proxy = await startScript('breaking-proxy.mjs', [port, times, after].map(String));
  return {
    ...proxy,
    async broken() {
      // Output that arrived while the test waited for something else.
      await sleep(100);
      return proxy.lines().filter((line) => line === 'broken').length;
    },
  };
}

/** Starts a script of this directory that prints its port first. */
async function startScript(
  name: string,
  words: readonly string[],
): Promise<Running & { readonly lines: () => string[] }> {
  const script = new URL(name, import.meta.url).pathname;
  const child = spawn(process.execPath, [script, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  await once(child.stdout, 'data');
  const lines = (): string[] => said.split('\n');
  return { port: Number(lines()[0]), lines, [Symbol.asyncDispose]: () => ended(child) };
}
