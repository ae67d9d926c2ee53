/**
 * Runs a built program in this process as if it had been started anew: it has modules and a process object of its own.
 */
const { EventEmitter } = require('node:events');
const fs = require('node:fs');
const { Script } = require('node:vm');

/** Loads a program once, to be run repeatedly. */
exports.loadProgram = (file) => {
  // Line numbers stay the same.
  const text = fs.readFileSync(file, 'utf8').replace(/^#!/, '//');
  const wrapped = `(function (require, process, Date, module, exports) { ${text}\n})`;
  return { file, run: new Script(wrapped, { filename: file }).runInThisContext() };
};

/**
 * Starts a program. `onExit` is called once, with its exit status. Returns its process object.
 *
 * @param streams stdin, stdout and stderr
 * @param modules replacements for modules of Node.js, by their names without `node:`
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
  // It has event listeners of its own.
  EventEmitter.call(own);
  const all = { process: own, ...modules(own) };
  const load = (name) => all[name.replace(/^node:/, '')] ?? require(name);
  program.run(load, own, clock, { exports: {} }, {});
  return own;
};
