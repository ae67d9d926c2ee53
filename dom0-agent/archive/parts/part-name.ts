import { DamagedError } from '../../../shared/errors.ts';

/** Which part of which file. */
export interface PartName {
  /** The path of the file: `vm5/private.img`. */
  readonly path: string;
  readonly index: number;
  /** Both, as in the name of the part's member: `vm5/private.img.007`. */
  readonly name: string;
}

/** The name of part `index` of the file `path`. */
export function partName(path: string, index: number): PartName {
  return { path, index, name: `${path}.${index.toString().padStart(3, '0')}` };
}

/**
 * Parses a part's name. Undefined if `partName` does not make such a name, or if the path ends in `..`, which is hard
 * to see in the name of a member: `vm1/...000`.
 */
export function parsePartName(name: string): PartName | undefined {
  const match = /^(.+)\.([0-9]{3,9})$/.exec(name);
  if (match?.[1] === undefined || /(^|\/)(\.\.)?$/.test(match[1])) return undefined;
  const part = partName(match[1], Number(match[2]));
  return part.name === name ? part : undefined;
}

/** A part of a file is not as it was written: it is damaged, forged or in a wrong place. */
export class DamagedPartError extends DamagedError {
  readonly path: string;
  readonly index: number;

  constructor({ path, index }: PartName, message: string, options?: ErrorOptions) {
    super(message, options);
    this.path = path;
    this.index = index;
  }
}
