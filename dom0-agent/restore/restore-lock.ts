import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { type Server, connect, createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { FailedError, RefusedError, messageOf, systemCodeOf } from '../../shared/errors.ts';
import { formatTime } from '../../shared/local-time.ts';
import type { QubesSystem } from '../qubes/system.ts';

/** What the lock is held for: a restore, or removing what a killed restore has left. */
export type Purpose = 'restore' | 'cleanup';

/** How long to wait for a cleanup, in ms: cleaning up after a killed restore takes seconds. */
const TIMEOUT = 60_000;
/** How long to wait between attempts, in ms. */
const INTERVAL = 100;
/** How long to wait for the holder's answer, in ms: a stopped process (Ctrl-Z) does not answer. */
const ANSWER = 1_000;
/** System errors that mean that the holder has ended. */
const ENDED = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE'];

/**
 * Runs `action` while this process is the only one that restores on a system. The lock is an abstract socket
 * name: only one process can have it, of whichever user, and it is free as soon as that process ends, however
 * it ends. Throws RefusedError, naming the other process, when another restore is running; waits for a process
 * that only cleans up.
 */
export async function asOnlyRestore<T>(
  system: QubesSystem,
  purpose: Purpose,
  action: () => Promise<T>,
): Promise<T> {
  const server = await takeLock(system, purpose);
  try {
    return await action();
  } finally {
    server.close();
  }
}

async function takeLock(system: QubesSystem, purpose: Purpose): Promise<Server> {
  const name = await lockName(system);
  const deadline = performance.now() + TIMEOUT;
  for (;;) {
    const server = await listen(name, purpose);
    if (server !== undefined) return server;
    const holder = await askHolder(name);
    const isBrief = holder === 'gone' || holder?.purpose === 'cleanup';
    if (!isBrief || performance.now() > deadline) throw busy(system, holder);
    await sleep(INTERVAL);
  }
}

/** The abstract socket name of the lock for a system. */
export async function lockName({ place }: Pick<QubesSystem, 'place'>): Promise<string> {
  const path = await realpath(place);
  return `\0coffer-restore-${createHash('sha256').update(path).digest('hex').slice(0, 32)}`;
}

/** Takes the name; undefined when another process has it. Tells whoever connects who holds the lock. */
async function listen(name: string, purpose: Purpose): Promise<Server | undefined> {
  const since = Math.round(Date.now() - process.uptime() * 1000);
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(`${process.pid} ${since} ${purpose}`);
  });
  // It must not keep the process alive.
  server.unref();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(name, resolve);
    });
  } catch (error) {
    if (systemCodeOf(error) === 'EADDRINUSE') return undefined;
    throw new FailedError(`the lock for restores cannot be taken: ${messageOf(error)}`);
  }
  // A version of Node.js without support for abstract names would listen on a name that the kernel chooses.
  if (server.address() !== name) {
    server.close();
    throw new FailedError('the lock for restores cannot be taken: Node.js is too old');
  }
  return server;
}

interface Holder {
  readonly pid: string;
  readonly since: string;
  readonly purpose: string;
}

/** Asks who holds the lock. `gone`: the holder has ended. Undefined: it does not answer. */
async function askHolder(name: string): Promise<Holder | 'gone' | undefined> {
  const socket = connect({ path: name });
  socket.setTimeout(ANSWER, () => socket.destroy(new Error('no answer')));
  try {
    const untrustedAnswer = await text(socket);
    if (untrustedAnswer === '') return 'gone';
    const [, pid, since, purpose] =
      /^(\d{1,10}) (\d{1,13}) (restore|cleanup)$/.exec(untrustedAnswer) ?? [];
    if (pid === undefined || purpose === undefined) return undefined;
    return { pid, since: formatTime(new Date(Number(since))), purpose };
  } catch (error) {
    return ENDED.includes(systemCodeOf(error) ?? '') ? 'gone' : undefined;
  }
}

function busy({ description }: QubesSystem, holder: Holder | 'gone' | undefined): RefusedError {
  const who =
    holder === undefined || holder === 'gone'
      ? 'by a process that does not answer'
      : `by the process ${holder.pid}, started ${holder.since}`;
  return new RefusedError(
    `another restore is running in ${description}, ${who}: wait until it has finished, or end it`,
  );
}
