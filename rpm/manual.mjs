// Makes the manual pages and the shell completion in dist/man and dist/completion: from the texts in
// docs/man and rpm/completion/, and from the command line's own grammar, so that they cannot disagree.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { latestRelease } from './changelog.mjs';
import { PROGRAMS, bundleOptions } from '../tools/build/programs.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** The commander program of dom0's command line. */
async function loadProgram() {
  const directory = mkdtempSync(path.join(tmpdir(), 'coffer-manual-'));
  try {
    const outfile = path.join(directory, 'program.cjs');
    const coffer = PROGRAMS.find(({ name }) => name === 'coffer');
    const options = bundleOptions({ ...coffer, entry: 'dom0-agent/cli/program.ts' });
    await build({ ...options, outfile });
    const { buildProgram } = createRequire(import.meta.url)(outfile);
    return buildProgram(new AbortController().signal, () => undefined);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Text as roff shows it unchanged. */
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

const visibleOptions = (command) => command.options.filter(({ hidden }) => !hidden);
const visibleCommands = (program) => program.commands.filter((command) => !command._hidden);

/** One command as a section of the manual page. */
function commandManual(command) {
  const words = command.registeredArguments.map(argumentText).join(' ');
  return [
    `.SS coffer ${command.name()} [options] ${roff(words)}`,
    roff(command.description()),
    ...command.registeredArguments.flatMap((argument) => [
      '.TP',
      `.I ${roff(argument.name())}`,
      roff(argument.description),
    ]),
    ...visibleOptions(command).flatMap((option) => [
      '.TP',
      `.B ${roff(option.flags)}`,
      roff(optionText(option)),
    ]),
  ].join('\n');
}

/** What the completion knows of a command: lines of shell that set `options` and `choices`. */
function completionCase(command) {
  const options = visibleOptions(command);
  const words = options.flatMap(({ short, long }) => [short, long].filter(Boolean)).sort();
  const choices = options
    .filter(({ argChoices }) => argChoices !== undefined)
    .map(({ long, argChoices }) => `      ${long}) choices='${argChoices.join(' ')}' ;;`);
  const lines = [`    ${command.name()})`, `      options='${words.join(' ')}'`];
  if (choices.length > 0) lines.push('      case $previous in', ...choices, '      esac');
  return [...lines, '      ;;'].join('\n');
}

/** The number of a character, as groff writes it. */
function hex(sign) {
  return sign.codePointAt(0).toString(16).toUpperCase().padStart(4, '0');
}

/** A comment that is a placeholder only becomes lines; elsewhere, a placeholder becomes a word. */
function fill(file, values) {
  return readFileSync(path.join(root, file), 'utf8')
    .replace(/^(?:\.\\"| *#) @([A-Z]+)@$/gm, (_, name) => values[name])
    .replace(/@([A-Z]+)@/g, (_, name) => values[name]);
}

const program = await loadProgram();
const commands = visibleCommands(program);
const { version, date } = latestRelease();
const values = {
  HEADING: `"coffer ${version}" "coffer"`,
  DATE: date,
  COMMANDS: commands.map(commandManual).join('\n'),
  NAMES: commands.map((command) => command.name()).join(' '),
  CASES: commands.map(completionCase).join('\n'),
};
mkdirSync(path.join(root, 'dist/man'), { recursive: true });
mkdirSync(path.join(root, 'dist/completion'), { recursive: true });
for (const page of ['coffer.1', 'coffer-vm-agent.1']) {
  const text = fill(`docs/man/${page}`, values);
  const ascii = text.replace(/[^\0-\x7f]/gu, (sign) => `\\[u${hex(sign)}]`);
  writeFileSync(path.join(root, 'dist/man', page), ascii);
}
writeFileSync(
  path.join(root, 'dist/completion/coffer'),
  fill('rpm/completion/coffer.bash', values),
);
