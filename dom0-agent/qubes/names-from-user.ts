import { closest, distance } from 'fastest-levenshtein';
import { UsageError } from '../../shared/errors.ts';

/** Names that differ in more letters, or in a larger part of their length, are not suggested (as in commander). */
const MOST_LETTERS = 3;
const LARGEST_PART = 0.6;

const GROUP = /^@(tag|type):(.+)$/;
const WILDCARD = /[*?]/;

/** A VM that is not backed up or restored, and why; the reason is empty when the user named others. */
export interface LeftOut {
  readonly name: string;
  readonly why: string;
}

/** Throws UsageError when a VM is named twice on the command line. */
export function refuseRepeated(names: readonly string[]): void {
  const repeated = names.find((name, position) => names.indexOf(name) !== position);
  if (repeated !== undefined) throw new UsageError(`${repeated} is named twice: once is enough`);
}

/** A VM, with what groups depend on. */
export interface GroupMember {
  readonly name: string;
  readonly qubeClass: string;
  readonly tags: ReadonlySet<string>;
}

/**
 * Replaces patterns by the names that they match: in a name, `*` stands for any characters, and `?` for one;
 * `@tag:NAME` and `@type:CLASS` stand for the VMs with that tag, or of that class. A pattern that matches nothing
 * stays, and is then an unknown name. The names that were given come first, then those that were matched, each once.
 */
export function expandNames(
  named: readonly string[],
  known: readonly string[],
  members: readonly GroupMember[],
): string[] {
  const matches = named.map((name) => ({ name, matched: matchedBy(name, known, members) }));
  const rest = matches.filter(({ matched }) => matched.length === 0).map(({ name }) => name);
  const matched = new Set(matches.flatMap((each) => each.matched));
  return [...rest, ...[...matched].filter((name) => !rest.includes(name))];
}

/** For a message on a name that stands for no VM: `called wrok`, or for a pattern `matching dev-*`. */
export function calledOrMatching(name: string): string {
  return GROUP.test(name) || WILDCARD.test(name) ? `matching ${name}` : `called ${name}`;
}

function matchedBy(
  name: string,
  known: readonly string[],
  members: readonly GroupMember[],
): readonly string[] {
  const [, kind, group = ''] = GROUP.exec(name) ?? [];
  if (kind !== undefined) {
    return members
      .filter(({ qubeClass, tags }) => (kind === 'tag' ? tags.has(group) : qubeClass === group))
      .map((member) => member.name);
  }
  return WILDCARD.test(name) ? known.filter((each) => patternOf(name).test(each)) : [];
}

function patternOf(name: string): RegExp {
  const escaped = name.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`, 'u');
}

/** For the end of a message on an unknown name: `; did you mean work?`, or nothing. */
export function suggestion(name: string, known: readonly string[]): string {
  if (known.length === 0) return '';
  const nearest = closest(name, known);
  const letters = distance(name, nearest);
  const part = letters / Math.max(name.length, nearest.length);
  return letters <= MOST_LETTERS && part < LARGEST_PART ? `; did you mean ${nearest}?` : '';
}
