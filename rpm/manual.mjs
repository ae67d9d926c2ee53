// Makes dist/man and dist/completion: manual pages from docs/man and, for each command, from the command line's own
// grammar, so that they cannot disagree; and the completion scripts of rpm/completion.
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { latestRelease } from './changelog.mjs';
import { PROGRAMS, bundleOptions } from '../tools/build/programs.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** The commander program of dom0's command line, the examples of each command, and the exit statuses. */
async function loadProgram() {
  const directory = mkdtempSync(path.join(tmpdir(), 'coffer-manual-'));
  try {
    const outfile = path.join(directory, 'program.cjs');
    const coffer = PROGRAMS.find(({ name }) => name === 'coffer');
    const options = bundleOptions({ ...coffer, entry: 'dom0-agent/cli/program.ts' });
    await build({ ...options, outfile });
    const { buildProgram, ...texts } = createRequire(import.meta.url)(outfile);
    return { program: buildProgram(new AbortController().signal, () => undefined), ...texts };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Escapes a text, so that roff shows it unchanged. */
function roff(text) {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(?=[.'])/gm, '\\&');
}

function argumentText(argument) {
  const name = argument.variadic ? `${argument.name()}...` : argument.name();
  return argument.required ? `<${name}>` : `[${name}]`;
}

function optionText({ description, argChoices, defaultValue, negate }) {
  const notes = [];
  if (argChoices !== undefined) notes.push(`one of ${argChoices.join(', ')}`);
  const hasDefault = ['string', 'number'].includes(typeof defaultValue) && !negate;
  if (hasDefault) notes.push(`default: ${defaultValue}`);
  return notes.length === 0 ? description : `${description} (${notes.join('; ')})`;
}

const visibleOptions = (command) => command.createHelp().visibleOptions(command);
const visibleCommands = (program) => program.commands.filter((command) => !command._hidden);

/** A word and what it means, as a paragraph. */
function entry(font, word, text) {
  return ['.TP', `.${font} ${roff(word)}`, roff(text)];
}

/** The manual page of one command. */
function commandPage(command) {
  const name = `coffer\\-${roff(command.name())}`;
  const words = command.registeredArguments.map(argumentText).join(' ');
  return [
    `.TH COFFER\\-${roff(command.name()).toUpperCase()} 1 "${date}" ${HEADING}`,
    '.ad l',
    '.nh',
    '.SH NAME',
    `${name} \\- ${roff(command.summary())}`,
    '.SH SYNOPSIS',
    `.B coffer ${roff(command.name())}`,
    `[options] ${roff(words)}`,
    '.SH DESCRIPTION',
    roff(command.description()),
    ...command.registeredArguments.flatMap((each) => entry('I', each.name(), each.description)),
    '.SH OPTIONS',
    ...visibleOptions(command).flatMap((option) => entry('B', option.flags, optionText(option))),
    '.SH EXAMPLES',
    ...examplesOf(command).flatMap(({ what, command: example }) => [
      '.PP',
      roff(what),
      '.PP',
      '.RS',
      roff(example),
      '.RE',
    ]),
    '.SH "EXIT STATUS"',
    ...EXIT_STATUSES.trim()
      .split('\n')
      .slice(1)
      .flatMap((line) => {
        const [, status, meaning] = /^ *(\d+) +(.*)$/.exec(line);
        return entry('B', status, meaning);
      }),
    '.SH "SEE ALSO"',
    '.BR coffer (1)',
    '',
  ].join('\n');
}

function examplesOf(command) {
  const examples = EXAMPLES[command.name()];
  if (examples === undefined) throw new Error(`coffer ${command.name()} has no examples`);
  return examples;
}

/** The code point of a character, as in groff's `\[u00E4]`. */
function hex(sign) {
  return sign.codePointAt(0).toString(16).toUpperCase().padStart(4, '0');
}

/** Replaces the placeholders in a file. A comment line that is only a placeholder is replaced as a whole. */
function fill(file, values) {
  return readFileSync(path.join(root, file), 'utf8')
    .replace(/^(?:\.\\"| *#) @([A-Z]+)@$/gm, (_, name) => values[name])
    .replace(/@([A-Z]+)@/g, (_, name) => values[name]);
}

const { program, EXAMPLES, EXIT_STATUSES } = await loadProgram();
const commands = visibleCommands(program);
const { version, date } = latestRelease();
const HEADING = `"coffer ${version}" "coffer"`;

const values = {
  HEADING,
  DATE: date,
  COMMANDS: commands
    .flatMap((command) => [
      '.TP',
      `.BR coffer\\-${roff(command.name())} (1)`,
      roff(command.summary()),
    ])
    .join('\n'),
  EXAMPLES: commands
    .flatMap(examplesOf)
    .flatMap(({ what, command }) => entry('B', command, what.replace(/:$/, '.')))
    .join('\n'),
};

/** Writes a page in ASCII: other characters are replaced by roff escapes. */
function writePage(name, text) {
  const ascii = text.replace(/[^\0-\x7f]/gu, (sign) => `\\[u${hex(sign)}]`);
  writeFileSync(path.join(root, 'dist/man', `${name}.1`), ascii);
}

for (const directory of ['man', 'completion']) {
  rmSync(path.join(root, 'dist', directory), { recursive: true, force: true });
  mkdirSync(path.join(root, 'dist', directory), { recursive: true });
}
for (const page of ['coffer', 'coffer-vm-agent'])
  writePage(page, fill(`docs/man/${page}.1`, values));
for (const command of commands) writePage(`coffer-${command.name()}`, commandPage(command));
for (const shell of ['bash', 'zsh', 'fish']) {
  const name = `coffer.${shell}`;
  copyFileSync(path.join(root, 'rpm/completion', name), path.join(root, 'dist/completion', name));
}
