/**
 * Preloaded into the built programs through NODE_OPTIONS: caches V8's compiled code in the directory of the run, for the
 * next start with the same command. They are started thousands of times, and compiling takes a fifth of each start.
 * Node.js itself has such a cache from 22 on (NODE_COMPILE_CACHE). V8 only accepts compiled code of the same source text.
 */
const { readFileSync, renameSync, writeFileSync } = require('node:fs');
const Module = require('node:module');
const path = require('node:path');
const { Script } = require('node:vm');

const DIRECTORY = process.env.TEST_RUN_DIRECTORY;
const PROGRAM = /\/dist\/coffer(-vm-agent)?$/;
const compile = Module.prototype._compile;

Module.prototype._compile = function (text, filename, ...others) {
  if (DIRECTORY === undefined || !PROGRAM.test(filename)) {
    return compile.call(this, text, filename, ...others);
  }
  const command = /^[\w-]*$/.exec(process.argv[2] ?? '')?.[0] ?? 'others';
  const kept = path.join(DIRECTORY, `${path.basename(filename)}.${command}`);
  const cachedData = contentOf(kept);
  // As Node.js does; line numbers stay the same.
  const source = Module.wrap(text.replace(/^#!/, '//'));
  const script = new Script(source, { filename, cachedData });
  // At exit, everything that this command needs has been compiled.
  if (cachedData === undefined) process.once('exit', () => keep(kept, script.createCachedData()));
  const run = script.runInThisContext();
  const require = Module.createRequire(filename);
  return run.call(this.exports, this.exports, require, this, filename, path.dirname(filename));
};

function contentOf(file) {
  try {
    return readFileSync(file);
  } catch {
    return undefined;
  }
}

/** Writes the file atomically, as other processes may read or write it at the same time. */
function keep(file, bytes) {
  try {
    writeFileSync(`${file}.${process.pid}`, bytes);
    renameSync(`${file}.${process.pid}`, file);
  } catch {
    // The run of the tests has ended, and its directory was removed; or this user may not write there.
  }
}
