import type { Argument, Command, Option } from 'commander';
import { ExitStatus } from '../../shared/errors.ts';
import { type Candidate, type Wanted, candidatesFor } from './complete-values.ts';
import { showResult } from './output.ts';

/**
 * Only words like this are offered: a VM chooses the names of its files, and the shell inserts what is offered into the
 * command line that it will run.
 */
const HARMLESS = /^[\w.,:@%+/=-]+$/;

/**
 * The hidden `coffer complete -- WORD…`, which the completion script of each shell calls. Prints the completions of the
 * last word, one per line, each followed by a blank and its description; or `:files` or `:directories`, which the shell
 * completes itself. Returns the exit status.
 */
export async function completeCommand(
  program: Command,
  words: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  const wanted = wantedBy(program, words);
  if (wanted.kind === 'files' || wanted.kind === 'directories') showResult(`:${wanted.kind}`);
  const { word, prefix = '' } = wanted;
  const all = (await candidatesFor(wanted, signal)).map(({ value, what }) => ({
    value: prefix + value,
    what,
  }));
  const fitting = all.filter(
    ({ value }) => value.startsWith(prefix + word) && HARMLESS.test(value),
  );
  for (const { value, what } of fitting) showResult(what === '' ? value : `${value} ${what}`);
  return ExitStatus.done;
}

/** What the last of the words can be completed to. */
export function wantedBy(program: Command, words: readonly string[]): Wanted {
  const former = words.slice(0, -1);
  const word = words.at(-1) ?? '';
  const visible = program.createHelp().visibleCommands(program);
  const at = former.findIndex((each) => !each.startsWith('-'));
  if (at < 0) return { kind: 'these', word, these: visible.map(describeCommand) };
  const command = visible.find((each) => each.name() === former[at]);
  if (command === undefined) return { kind: 'these', word, these: [] };
  const given = readWords(command, former.slice(at + 1));
  if (given.pending !== undefined) return { ...wantedAs(given.pending, given), word };
  const [, flag, value = ''] = /^(--[a-z-]+)=(.*)$/.exec(word) ?? [];
  const option = command.options.find(({ long }) => long === flag);
  if (option !== undefined) {
    return { ...wantedAs(option, given), word: value, prefix: `${flag ?? ''}=` };
  }
  if (word.startsWith('-')) return { kind: 'these', word, these: optionsOf(command) };
  return { ...wantedOf(command, given), word };
}

/** The words after a command, without the last one. */
export interface Given {
  /** By the long names of options. */
  readonly values: ReadonlyMap<string, string>;
  readonly operands: readonly string[];
  /** An option that still needs its value. */
  readonly pending: Option | undefined;
}

function readWords(command: Command, words: readonly string[]): Given {
  const values = new Map<string, string>();
  const operands: string[] = [];
  let pending: Option | undefined;
  for (const word of words) {
    if (pending !== undefined) {
      values.set(pending.name(), word);
      pending = undefined;
      continue;
    }
    const [flag, ...value] = word.split('=');
    const option = command.options.find(({ short, long }) => flag === short || flag === long);
    if (option === undefined) {
      if (!word.startsWith('-')) operands.push(word);
    } else if (option.required && value.length === 0) pending = option;
    else values.set(option.name(), value.join('='));
  }
  return { values, operands, pending };
}

type Unworded = Omit<Wanted, 'word'>;

/** The value of an option, judging by its placeholder in the help, such as `<VM>`. */
function wantedAs({ flags, argChoices }: Option, given: Given): Unworded {
  if (argChoices !== undefined) return { kind: 'these', these: argChoices.map(plain) };
  return wantedByName(/<(.*)>/.exec(flags)?.[1] ?? '', given);
}

/** Commands whose LOCATION is a directory. */
const OF_DIRECTORIES = ['backup', 'prune', 'copy', 'adopt'];

/** The next operand of a command. */
function wantedOf(command: Command, given: Given): Unworded {
  const all = command.registeredArguments;
  const argument: Argument | undefined = all[given.operands.length] ?? all.findLast(isVariadic);
  if (argument === undefined || given.values.has('profile')) return { kind: 'these', these: [] };
  const isTarget = argument.name() === 'TARGET';
  if (argument.name() !== 'LOCATION' && !isTarget) return wantedByName(argument.name(), given);
  if (given.values.has('command') || given.values.has(isTarget ? 'to-through' : 'through')) {
    return { kind: 'these', these: [] };
  }
  const only = OF_DIRECTORIES.includes(command.name()) ? 'directories' : 'files';
  const vm = given.values.get(isTarget ? 'to' : 'dest-vm');
  return vm === undefined ? { kind: only } : { kind: 'in-vm', vm, only, ...systemOf(given) };
}

function wantedByName(name: string, given: Given): Unworded {
  switch (name) {
    case 'VM':
      return { kind: 'vms', not: given.operands, ...systemOf(given) };
    case 'POOL':
      return { kind: 'pools', ...systemOf(given) };
    case 'NAME':
      return { kind: 'profiles' };
    case 'COMMAND':
      return { kind: 'these', these: ['coffer-rclone', 'coffer-ssh'].map(plain) };
    case 'PATH':
    case 'FILE':
      return { kind: 'files' };
    case 'DIR':
      return { kind: 'directories' };
    default:
      return { kind: 'these', these: [] };
  }
}

function systemOf({ values }: Given): { system: string | undefined } {
  return { system: values.get('system') };
}

function isVariadic({ variadic }: Argument): boolean {
  return variadic;
}

function describeCommand(command: Command): Candidate {
  return { value: command.name(), what: command.summary() };
}

function optionsOf(command: Command): Candidate[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .flatMap(({ short, long, description }) =>
      [long, short].flatMap((value) => (value ? [{ value, what: description }] : [])),
    );
}

function plain(value: string): Candidate {
  return { value, what: '' };
}
