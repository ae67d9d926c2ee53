// A VM agent that follows hostile-script.json in its home: see script.ts. arena.ts bundles it into one file, which coffer
// runs in place of the real agent.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { decodeFrame, encodeFrame } from '../../protocol/codec.ts';
import { framePrefix, frames } from '../../protocol/framing.ts';
import { LONGEST_DATA } from '../../protocol/limits.ts';
import type { Message } from '../../protocol/messages.ts';
import { systemCodeOf } from '../../shared/errors.ts';
import { NOTES_FILE, type Notes, SCRIPT_FILE, type Script, type Step, saidFile } from './script.ts';
import { field, framed, numberField } from './wire.ts';

const [service = ''] = process.argv.slice(2);
const heard = frames(process.stdin as AsyncIterable<Buffer>);
type Serving = Extract<Step, { readonly serve: string }>;
interface Range {
  from: number;
  readonly to: number;
}

/** What dom0 has requested in a Fetch: of a stream, and of a file. */
const asked = { from: 0, to: 0 };
const wanted: Range[] = [];
const stored = { bytes: 0, hash: createHash('sha256') };

async function main(): Promise<void> {
  const notes: Notes = { pid: process.pid, argv: process.argv, environment: environment() };
  appendFileSync(NOTES_FILE, `${JSON.stringify(notes)}\n`);
  const script = JSON.parse(readFileSync(SCRIPT_FILE, 'utf8')) as Script;
  for (const step of script[service as keyof Script] ?? []) await act(step);
  // Until dom0 disconnects: dom0 must not rely on the agent's exit.
  for (;;) await nextMessage();
}

async function act(step: Step): Promise<void> {
  if ('hear' in step) await hear(step.hear);
  else if ('say' in step) await repeat(step.say, step.times ?? 1, step.pause ?? 0);
  else if ('drip' in step) await drip(Buffer.from(step.drip, 'base64'), step.pause);
  else if ('serve' in step) await serve(step);
  else if ('relay' in step) await relay(step.relay, step.upTo);
  else if ('take' in step) await take(step.take === 'all' ? Infinity : step.take);
  else if ('confirm' in step) say(confirmation(step.confirm));
  else if ('grumble' in step) grumble(step.grumble, step.times ?? 1);
  else if ('hangUp' in step) closeSync(1);
  else if ('play' in step) await playDead();
  else if ('kill' in step) process.kill(process.pid, step.kill);
  else process.exit(step.end);
}

function environment(): Record<string, string> {
  return Object.fromEntries(Object.entries(process.env).map(([key, value]) => [key, value ?? '']));
}

async function nextMessage(): Promise<Message> {
  const { value } = await heard.next();
  // dom0 has disconnected.
  if (value === undefined) process.exit(0);
  return decodeFrame(value);
}

async function hear(kind: string): Promise<void> {
  for (let heard = ''; heard !== kind;) heard = (await nextMessage()).kind;
}

function say(message: Message): void {
  shout(Buffer.concat(encodeFrame(message)));
}

/** Writes without waiting for dom0 to read in between. */
function shout(bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      if (systemCodeOf(error) === 'EPIPE') process.exit(0);
      if (systemCodeOf(error) !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

async function repeat(base64: string, times: number, milliseconds: number): Promise<void> {
  const bytes = Buffer.from(base64, 'base64');
  for (let i = 0; i < times; i++) {
    shout(bytes);
    if (milliseconds > 0) await pause(milliseconds);
  }
}

async function drip(bytes: Buffer, milliseconds: number): Promise<void> {
  for (const byte of bytes) {
    shout(Buffer.from([byte]));
    await pause(milliseconds);
  }
}

async function serve({ serve: file, upTo, ...how }: Serving): Promise<void> {
  const content = openSync(file, 'r');
  const { size } = statSync(file);
  for (let given = 0; given < upTo;) {
    const [want] = wanted;
    if (want !== undefined && want.from >= size) {
      say({ kind: 'lacks', code: 'IO', message: 'there is no more' });
      wanted.shift();
    } else if (want !== undefined) {
      given += give(content, want, Math.min(want.to, size, want.from + upTo - given), how);
      if (want.from === want.to) wanted.shift();
    } else if (asked.from < asked.to && asked.from < size) {
      given += give(content, asked, Math.min(asked.to, size, asked.from + upTo - given), how);
    } else if (asked.from < asked.to) {
      say({ kind: 'end', bytes: asked.from, sha256: Buffer.alloc(0) });
      asked.to = asked.from;
    } else {
      noteRequest(await nextMessage(), size);
    }
  }
}

/** Sends a Data message with bytes of a file, as many as one can hold, or few. Returns how many. */
function give(
  content: number,
  range: Range,
  to: number,
  { few = LONGEST_DATA, padding }: Pick<Serving, 'few' | 'padding'>,
): number {
  const length = Math.min(to - range.from, few);
  const bytes = Buffer.alloc(length);
  readSync(content, bytes, 0, length, range.from);
  if (padding === undefined) say({ kind: 'data', offset: range.from, bytes });
  else shout(paddedData(range.from, bytes, padding));
  range.from += length;
  return length;
}

/** A Data message with a field that coffer does not know. */
function paddedData(offset: number, bytes: Buffer, padding: number): Buffer {
  const data = Buffer.concat([numberField(1, offset), field(2, bytes)]);
  return Buffer.from(
    framed(Buffer.concat([field(10, data), field(1000, Buffer.alloc(padding))])),
    'base64',
  );
}

function noteRequest(message: Message, size: number): void {
  if (message.kind === 'open') say({ kind: 'opened', size });
  if (message.kind === 'want') {
    wanted.push({ from: message.offset, to: message.offset + message.length });
  }
  if (message.kind === 'read') asked.to += message.bytes;
}

async function relay(agent: string, upTo: number): Promise<void> {
  const count = saidFile(service as keyof Script);
  const said = existsSync(count) ? statSync(count).size : 0;
  const honest = spawn(process.execPath, [agent, service], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<number>((resolve) => honest.once('exit', (code) => resolve(code ?? 1)));
  // It is killed after its last message, perhaps while it still reads.
  honest.stdin.on('error', () => undefined);
  const pass = async (): Promise<void> => {
    for await (const frame of heard)
      honest.stdin.write(Buffer.concat([framePrefix(frame.length), frame]));
    honest.stdin.end();
  };
  if (said < upTo) void pass();
  const answers = frames(honest.stdout as AsyncIterable<Buffer>);
  for (let now = said; now < upTo; now++) {
    const { value } = await answers.next();
    if (value === undefined) process.exit(await ended);
    appendFileSync(count, '.');
    shout(Buffer.concat([framePrefix(value.length), value]));
  }
  honest.kill('SIGKILL');
}

async function take(upTo: number): Promise<void> {
  while (stored.bytes < upTo) {
    const message = await nextMessage();
    if (message.kind === 'end') return;
    if (message.kind === 'copy') stored.bytes += message.length;
    if (message.kind !== 'data') continue;
    stored.bytes += message.bytes.length;
    stored.hash.update(message.bytes);
  }
}

function confirmation({ bytes, sha256 }: { bytes?: number; sha256?: string }): Message {
  const own = stored.hash.digest();
  return {
    kind: 'stored',
    path: '/home/user/backups/one',
    bytes: bytes ?? stored.bytes,
    sha256: sha256 === undefined ? own : Buffer.from(sha256, 'hex'),
  };
}

function grumble(base64: string, times: number): void {
  for (let i = 0; i < times; i++) process.stderr.write(Buffer.from(base64, 'base64'));
}

async function playDead(): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => undefined);
  }
  process.stdin.pause();
  await pause(1_000_000);
}

void main();
