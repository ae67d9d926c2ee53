/** The built VM agent in the process of coffer-server.cjs, to which it looks like a child process. */
const childProcess = require('node:child_process');
const { EventEmitter } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const { Readable, Writable } = require('node:stream');
const { start } = require('./program-in-process.cjs');

/** The largest id of a real process (PID_MAX_LIMIT of Linux); agents get larger ones. */
const LARGEST_PID = 2 ** 22;

/** The running agents, by their ids. */
const agents = new Map();
let started = 0;

class Agent extends EventEmitter {
  exitCode = null;
  signalCode = null;
  pid = LARGEST_PID + ++started;
  #process = new EventEmitter();
  #streams;

  constructor(program, words, { cwd, env }) {
    super();
    const [input, output, errors] = [pipe(), pipe(), pipe()];
    this.stdin = input.writing;
    this.stdout = output.reading;
    this.stderr = errors.reading;
    const streams = { stdin: input.reading, stdout: output.writing, stderr: errors.writing };
    this.#streams = streams;
    agents.set(this.pid, this);
    const modules = () => ({
      os: { ...os, homedir: () => env.HOME },
      // The program would read a pipe by its descriptor.
      fs: { ...fs, fstatSync: (fd, ...rest) => (fd === 0 ? NO_PIPE : fs.fstatSync(fd, ...rest)) },
      child_process: {
        ...childProcess,
        spawn: (file, args, options) => childProcess.spawn(file, args, { cwd, env, ...options }),
      },
    });
    const onExit = (status) => this.#end(status, null);
    // Like a real process, it does not run before `spawn` has returned.
    setImmediate(() => {
      if (!agents.has(this.pid)) return;
      this.#process = start(program, words, { streams, env, modules, onExit });
    });
  }

  kill(signal = 'SIGTERM') {
    if (!agents.has(this.pid)) return false;
    if (signal !== 0 && !this.#process.emit(signal)) this.#end(null, signal);
    return true;
  }

  #end(status, signal) {
    if (!agents.delete(this.pid)) return;
    this.exitCode = status;
    this.signalCode = signal;
    this.#streams.stdin.destroy();
    this.#streams.stdout.end();
    this.#streams.stderr.end();
    setImmediate(() => this.emit('exit', status, signal));
  }
}

const NO_PIPE = { isFIFO: () => false, isSocket: () => false };

/** Both ends of a pipe. What is written is copied, as by the kernel, because the writer may reuse its memory. */
function pipe() {
  let written;
  let hasEnded = false;
  const end = () => {
    if (!hasEnded && !reading.destroyed) reading.push(null);
    hasEnded = true;
  };
  const goOn = (error) => {
    const done = written;
    written = undefined;
    done?.(error);
  };
  const broken = () => Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
  const reading = new Readable({
    read: () => goOn(),
    destroy(error, done) {
      goOn(broken());
      done(error);
    },
  });
  const writing = new Writable({
    write(piece, _, done) {
      if (reading.destroyed) return done(broken());
      written = done;
      if (reading.push(Buffer.from(piece))) goOn();
    },
    final(done) {
      end();
      done();
    },
    destroy(error, done) {
      end();
      done(error);
    },
  });
  return { reading, writing };
}

/** child_process for a program that may start the agent. */
exports.withAgent = (program) => ({
  ...childProcess,
  spawn: (file, args, options) =>
    file === process.execPath && args[0] === program.file
      ? new Agent(program, args.slice(1), options)
      : childProcess.spawn(file, args, options),
});

/** process.kill, for agents as well. */
exports.kill = (pid, signal) => {
  const id = Math.abs(pid);
  if (id <= LARGEST_PID) return process.kill(pid, signal);
  if (agents.get(id)?.kill(signal)) return true;
  throw Object.assign(new Error('kill ESRCH'), { code: 'ESRCH' });
};
