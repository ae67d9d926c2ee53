import { readFileSync } from 'node:fs';
import { expect } from 'vitest';

/** An event of `--json`. */
export interface Told {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** All events of a run, each checked against docs/json.md. */
export function eventsIn(stdout: string): Told[] {
  const events = stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Told);
  for (const event of events) expect(faultsOf(event), JSON.stringify(event)).toEqual([]);
  return events;
}

/** The last of them: a result, or an error. */
export function lastEvent(stdout: string): Told {
  const last = eventsIn(stdout).at(-1);
  expect(last?.event).toMatch(/^(result|error)$/);
  if (last === undefined) throw new Error('nothing was told');
  return last;
}

/** The types of fields, by their names. */
type Table = ReadonlyMap<string, string>;

const document = readFileSync(new URL('../../docs/json.md', import.meta.url), 'utf8');

/** The tables by the headings above them: `phase`, `plan of backup`, `result of list: a backup`, `problem…`. */
const tables: ReadonlyMap<string, Table> = new Map(
  document
    .split(/^###? /m)
    .slice(1)
    .map((section) => {
      const title = section.slice(0, section.indexOf('\n')).replaceAll('`', '');
      const rows = [...section.matchAll(/^\| `(\w+)` \| ([^|]*) \|/gm)];
      const own = rows.map(([, field = '', type = '']): [string, string] => [field, type.trim()]);
      return [title, new Map(own)];
    }),
);

/** The tables that an event may fit: `list` has two results. */
function tablesFor({ event, command }: Told): Table[] {
  if (event !== 'plan' && event !== 'result') return [tableOf(event)];
  const title = `${event} of ${String(command)}`;
  const found = [...tables].filter(([each]) => each === title || each.startsWith(`${title}:`));
  return found.map(([, table]) => (event === 'plan' ? table : new Map([...ENDING, ...table])));
}

const ENDING = [
  ['command', 'text'],
  ['ok', 'flag'],
  ['exitStatus', 'number'],
] as const;

function tableOf(title: string): Table {
  const table = tables.get(title);
  if (table === undefined) throw new Error(`docs/json.md has no ${title}`);
  return title === 'status…' ? new Map([...tableOf('here…'), ...table]) : table;
}

function faultsOf({ schema, ...event }: Told): string[] {
  if (schema !== 1) return ['the schema is not 1'];
  const fields = Object.entries(event).filter(([name]) => name !== 'event');
  const faults = tablesFor(event).map((table) => faultsIn(Object.fromEntries(fields), table));
  return faults.find((each) => each.length === 0) ?? faults.flat();
}

function faultsIn(fields: object, table: Table): string[] {
  const missing = [...table.keys()].filter((name) => !(name in fields));
  const faults = Object.entries(fields).flatMap(([name, value]) => {
    const type = table.get(name);
    if (type === undefined) return [`${name} is not in docs/json.md`];
    return fits(value, type) ? [] : [`${name} is not ${type}`];
  });
  return [...missing.map((name) => `${name} is missing`), ...faults];
}

const NUMBERS = new Set(['bytes', 'number']);

function fits(value: unknown, type: string): boolean {
  const [, known, orNull] = /^(.*?)(,? or null)?$/.exec(type) ?? [];
  if (value === null) return orNull !== undefined;
  const name = known ?? '';
  const of = /^list of (.*)$/.exec(name)?.[1];
  if (of !== undefined) return Array.isArray(value) && value.every((each) => fits(each, of));
  if (name.includes('"')) return name.split(', ').includes(`\`${JSON.stringify(value)}\``);
  if (name.endsWith('…')) {
    return typeof value === 'object' && faultsIn(value, tableOf(name)).length === 0;
  }
  if (NUMBERS.has(name)) {
    return typeof value === 'number' && value >= 0 && (name !== 'bytes' || Number.isInteger(value));
  }
  if (name === 'time') return typeof value === 'string' && !Number.isNaN(Date.parse(value));
  if (name === 'flag') return typeof value === 'boolean';
  if (name === 'text') return typeof value === 'string';
  throw new Error(`docs/json.md has the unknown type ${name}`);
}
