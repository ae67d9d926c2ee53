import { FailedError } from '../../../shared/errors.ts';
import type { Volume } from '../qube.ts';
import type { ListedQube } from '../system.ts';

/** A line of `admin.vm.List`. */
export interface QubeLine extends ListedQube {
  readonly state: string;
}

/** A line of `property.GetAll`. */
export interface Property {
  readonly name: string;
  /** Whether it has its default value. */
  readonly isDefault: boolean;
  /** `str`, `int`, `bool`, `vm` or `label`. */
  readonly type: string;
  readonly value: string;
}

/** The lines of a reply. Each ends with a newline, so that a truncated reply is noticed. Throws FailedError. */
export function linesOf(reply: string): string[] {
  if (reply === '') return [];
  if (!reply.endsWith('\n')) {
    throw new FailedError(
      'qubesd closed the connection in the middle of a reply: try again in a moment',
    );
  }
  return reply.slice(0, -1).split('\n');
}

/** `name class=AppVM state=Halted uuid=…` */
export function parseQubeList(reply: string): QubeLine[] {
  return linesOf(reply).map((line) => {
    const [name = '', ...words] = line.split(' ');
    const fields = new Map(words.map((word) => cutAt(word, '=')));
    const state = fieldOf(fields, 'state');
    return { name, className: fieldOf(fields, 'class'), state, isRunning: state !== 'Halted' };
  });
}

/** `name default=True|False type=T value`; a newline or backslash in the value is escaped. */
export function parseProperties(reply: string): Property[] {
  return linesOf(reply).map((line) => {
    const match = /^(\S+) default=(True|False) type=(\S+) (.*)$/s.exec(line);
    const [, name, isDefault, type, value] = match ?? [];
    if (name === undefined || type === undefined || value === undefined) {
      throw new FailedError('qubesd described a property in a form that coffer does not know');
    }
    return { name, isDefault: isDefault === 'True', type, value: unescapeValue(value) };
  });
}

function unescapeValue(value: string): string {
  return value.replace(/\\(.)/gs, (_, character: string) => (character === 'n' ? '\n' : character));
}

/** `key=value` lines: `volume.Info`, `pool.Info`. */
export function parseFields(reply: string): Map<string, string> {
  return new Map(linesOf(reply).map((line) => cutAt(line, '=')));
}

/** The reply of `volume.Info`. */
export function parseVolume(name: string, reply: string): Volume {
  const fields = parseFields(reply);
  return {
    name,
    size: byteCount(fieldOf(fields, 'size')),
    // Empty if the pool does not know it.
    usage: fields.get('usage') ? byteCount(fieldOf(fields, 'usage')) : undefined,
    pool: fieldOf(fields, 'pool'),
    vid: fieldOf(fields, 'vid'),
    saveOnStop: fieldOf(fields, 'save_on_stop') === 'True',
    revisionsToKeep: wholeNumber(fields.get('revisions_to_keep')),
    // R4.0 does not have it.
    ephemeral: fields.has('ephemeral') ? fields.get('ephemeral') === 'True' : undefined,
  };
}

/** A field that must be there. Throws FailedError if it is not. */
export function fieldOf(fields: ReadonlyMap<string, string>, key: string): string {
  const value = fields.get(key);
  if (value === undefined) throw new FailedError(`qubesd left "${key}" out of a reply`);
  return value;
}

function byteCount(text: string): number {
  const bytes = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(bytes)) {
    throw new FailedError(`qubesd gave "${text}" as a number of bytes`);
  }
  return bytes;
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^-?\d{1,9}$/.test(text) ? Number(text) : undefined;
}

function cutAt(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)];
}

/**
 * Properties that are not settings, though they are set by hand: they say what the VM is called and where it came from
 * (qubesadmin/backup/restore.py leaves out the same ones).
 */
export const IDENTITY_PROPERTIES = new Set([
  'name',
  'qid',
  'uuid',
  'label',
  'dispid',
  'installed_by_rpm',
]);
