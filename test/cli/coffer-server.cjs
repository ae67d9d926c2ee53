/**
 * Runs the built coffer repeatedly in one process: coffer-server.cjs PROGRAM. Node.js starts, and V8 compiles, only once.
 * The VM agent of a folder system runs in the same process. Requests arrive on descriptor 3, a line of JSON each, and the
 * answers go to descriptor 4: see served-coffer.ts.
 */
const crypto = require('node:crypto');
const { EventEmitter } = require('node:events');
const { writeSync } = require('node:fs');
const { Socket } = require('node:net');
const path = require('node:path');
const { createInterface } = require('node:readline');
const { Readable, Writable } = require('node:stream');
const { kill, withAgent } = require('./agent-in-process.cjs');
const { clockAt } = require('./fixed-clock.cjs');
const { loadProgram, start } = require('./program-in-process.cjs');

const [REQUESTS, ANSWERS] = [3, 4];
/** After so many milliseconds, a run that hangs is ended, together with this process. */
const PATIENCE = 120_000;
const [, , file] = process.argv;
const coffer = loadProgram(file);
const agent = loadProgram(path.join(path.dirname(file), 'coffer-vm-agent'));

/** The process object of the current run. */
let current = new EventEmitter();
process.on('uncaughtException', (error) => {
  if (!current.emit('uncaughtException', error)) throw error;
});

function runCoffer({ words, directory, environment }) {
  for (const name of Object.keys(process.env)) {
    if (environment[name] === undefined) delete process.env[name];
  }
  Object.assign(process.env, environment);
  process.chdir(directory);
  const { FIXED_CLOCK } = environment;
  const [stdout, stderr] = [new Kept(), new Kept()];
  return new Promise((resolve) => {
    const onExit = (status) => {
      clearTimeout(limit);
      resolve({ status, stdout: stdout.text, stderr: stderr.text });
    };
    const limit = setTimeout(onExit, PATIENCE, null);
    current = start(coffer, words, {
      streams: { stdin: Readable.from([]), stdout, stderr },
      modules: (own) => {
        own.kill = kill;
        return { child_process: withAgent(agent), crypto: { ...crypto, scrypt } };
      },
      clock: FIXED_CLOCK === undefined ? Date : clockAt(FIXED_CLOCK),
      onExit,
    });
  });
}

/** Derived keys: tests read the same few backups again and again, and deriving the keys takes longest. */
const derived = new Map();

function scrypt(password, salt, length, options, done) {
  const hash = crypto.createHash('sha256');
  for (const each of [password, salt]) hash.update(`${each.length} `).update(each);
  const name = hash.update(`${length} ${JSON.stringify(options)}`).digest('hex');
  const known = derived.get(name);
  if (known !== undefined) return setImmediate(done, null, Buffer.from(known));
  crypto.scrypt(password, salt, length, options, (error, key) => {
    if (key !== undefined) derived.set(name, Buffer.from(key));
    done(error, key);
  });
}

/** A stream that collects what is written. */
class Kept extends Writable {
  #pieces = [];

  _write(piece, _encoding, done) {
    this.#pieces.push(piece);
    done();
  }

  get text() {
    return Buffer.concat(this.#pieces).toString();
  }
}

/** Writes an answer, in pieces if the pipe cannot take it at once. */
function answer(run) {
  let bytes = Buffer.from(`${JSON.stringify(run)}\n`);
  while (bytes.length > 0) bytes = bytes.subarray(writeSync(ANSWERS, bytes));
}

async function serve() {
  const requests = new Socket({ fd: REQUESTS, readable: true, writable: false });
  for await (const line of createInterface({ input: requests })) {
    const run = await runCoffer(JSON.parse(line));
    // The process must not remain in the directory of a finished run, which is removed.
    process.chdir('/');
    answer(run);
    if (run.status === null) break;
  }
  process.exit();
}

void serve();
