/**
 * Runs a built program within this process, as if it had been started anew: it has modules of its own, and what it
 * can see of its process is its own, too.
 */
const { EventEmitter } = require('node:events');
const fs = require('node:fs');
const { Script } = require('node:vm');

/** A program that was read once, to be run time and again. */
exports.loadProgram = (file) => {
  // The first line stays the first.
  const text = fs.readFileSync(file, 'utf8').replace(/^#!/, '//');
  const wrapped = `(function (require, process, Date, module, exports) { ${text}\n})`;
  return { file, run: new Script(wrapped, { filename: file }).runInThisContext() };
};

/**
 * Starts a program. `onExit` is called once, with its exit status. Gives its process.
 *
 * @param streams stdin, stdout and stderr
 * @param modules what it gets in the place of modules of Node.js, by their names without `node:`
 */
exports.start = (program, words, { streams, env = process.env, modules, clock = Date, onExit }) => {
  let isOver = false;
  const exit = (status = own.exitCode) => {
    if (isOver) return;
    isOver = true;
    own.emit('exit', status);
    onExit(status);
  };
  const argv = [process.execPath, program.file, ...words];
  const properties = { argv, env, exitCode: 0, exit, ...streams };
  const own = Object.create(process, Object.getOwnPropertyDescriptors(properties));
  // Its listeners are its own.
  EventEmitter.call(own);
  const all = { process: own, ...modules(own) };
  const load = (name) => all[name.replace(/^node:/, '')] ?? require(name);
  program.run(load, own, clock, { exports: {} }, {});
  return own;
};
