import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';

import { answer, type Call, type Machine } from './methods.ts';
import { InnerFailure, Refusal } from './refusal.ts';
import type { Store } from './store.ts';

/** Faults of a call. */
export type Fault =
  /** No answer, and the connection stays open. */
  | { readonly kind: 'hang' }
  /** The connection is closed without an answer, as for a call that qubesd does not allow or fails to handle. */
  | { readonly kind: 'nothing' }
  /** The answer breaks off after so many bytes. */
  | { readonly kind: 'cut'; readonly after: number }
  /** The connection is reset, as when qubesd is killed. */
  | { readonly kind: 'reset' }
  /** Another answer, for instance of another release. */
  | { readonly kind: 'answer'; readonly data: string }
  | { readonly kind: 'exception'; readonly type: string; readonly message: string };

export interface QubesdOptions {
  readonly store: Store;
  readonly socketPath: string;
  readonly machine?: Partial<Machine> | undefined;
}

/**
 * A double of qubesd: keeps the state of a Qubes system, and answers at a Unix socket as the real one
 * was observed to (test/fixtures/qubesd/admin-api-transcript.jsonl).
 */
export class Qubesd implements AsyncDisposable {
  readonly store: Store;
  readonly machine: Machine;
  readonly socketPath: string;
  /** All calls so far. */
  readonly calls: Call[] = [];
  /** Chooses the fault of a call, if any, before the call changes anything. */
  fault: (call: Call) => Fault | undefined = () => undefined;
  /** The highest number of connections that were open at once. */
  mostAtOnce = 0;
  readonly #open = new Set<Socket>();
  /** The connections that get events. */
  readonly #listening = new Set<Socket>();
  #server: Server | undefined;

  constructor({ store, socketPath, machine }: QubesdOptions) {
    this.store = store;
    this.socketPath = socketPath;
    this.machine = {
      poolSize: 270_553_174_016,
      poolUsage: 32_568_573_952,
      uuids: [],
      deviceClasses: new Map([
        ['block', true],
        ['pci', false],
      ]),
      blockDevices: new Map(),
      attachedDevices: new Map(),
      ...machine,
    };
  }

  async start(): Promise<this> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#open.add(socket);
      this.mostAtOnce = Math.max(this.mostAtOnce, this.#open.size);
      socket.once('close', () => this.#open.delete(socket));
      socket.on('error', () => socket.destroy());
      void this.#serve(socket).catch(() => socket.destroy());
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.socketPath, resolve);
    });
    this.#server = server;
    return this;
  }

  /** How many connections get events. */
  get listening(): number {
    return this.#listening.size;
  }

  /**
   * Sends an event to all of them, in the form of send_event in qubes/api/__init__.py of qubes-core-admin: it is not in the
   * transcript.
   */
  tell(subject: string, event: string, fields: Readonly<Record<string, string>> = {}): void {
    const words = ['1', subject, event, ...Object.entries(fields).flat(), '', ''];
    for (const socket of this.#listening) socket.write(words.join('\0'));
  }

  async stop(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    await new Promise<void>((resolve) => {
      if (this.#server === undefined) resolve();
      else this.#server.close(() => resolve());
    });
    if (existsSync(this.socketPath)) await rm(this.socketPath);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #serve(socket: Socket): Promise<void> {
    const request = await receive(socket);
    const call = request.length > 65_536 ? undefined : parseRequest(request);
    if (call === undefined) {
      socket.destroy();
      return;
    }
    this.calls.push(call);
    const fault = this.fault(call);
    if (fault?.kind === 'hang') return;
    if (fault === undefined && call.method === 'admin.Events') {
      this.#listening.add(socket);
      socket.once('close', () => this.#listening.delete(socket));
      socket.write('1\0\0connection-established\0\0');
      return;
    }
    if (fault?.kind === 'reset') socket.resetAndDestroy();
    else if (fault?.kind === 'nothing') socket.end();
    else if (fault?.kind === 'answer') socket.end(`0\0${fault.data}`);
    else if (fault?.kind === 'exception') socket.end(exception(fault));
    else {
      const reply = this.#reply(call);
      socket.end(fault === undefined ? reply : reply.subarray(0, fault.after));
    }
  }

  #reply(call: Call): Buffer {
    try {
      return Buffer.from(`0\0${answer(this.store, this.machine, call)}`);
    } catch (error) {
      if (error instanceof Refusal) return exception(error);
      if (error instanceof InnerFailure) return Buffer.alloc(0);
      throw error;
    }
  }
}

const exception = ({ type, message }: { type: string; message: string }): Buffer =>
  Buffer.from(`2\0${type}\0\0${message}\0`);

/** Everything that the other side sends until it closes its direction; ours stays open. */
function receive(socket: Socket): Promise<Buffer> {
  const pieces: Buffer[] = [];
  return new Promise((resolve, reject) => {
    socket.on('data', (piece: Buffer) => pieces.push(piece));
    socket.once('end', () => resolve(Buffer.concat(pieces)));
    socket.once('close', () => reject(new Error('closed')));
  });
}

/** `METHOD+ARG dom0 name DEST` NUL payload; undefined for anything else. */
function parseRequest(request: Buffer): Call | undefined {
  const text = request.toString('utf8');
  const [, words = '', payload = ''] = /^([^\0]*)\0(.*)$/s.exec(text) ?? [];
  const [methodAndArg = '', source, kind, ...dest] = words.split(' ');
  if (source !== 'dom0' || kind !== 'name' || dest.length !== 1) return undefined;
  const [, method = '', arg = ''] = /^([^+]*)\+?(.*)$/s.exec(methodAndArg) ?? [];
  return { method, arg, dest: dest[0] ?? '', payload };
}
