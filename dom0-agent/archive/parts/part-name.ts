import { DamagedError } from '../../../shared/errors.ts';

/** Which part of which file. */
export interface PartName {
  /** The file's: `vm5/private.img`. */
  readonly path: string;
  readonly index: number;
  /** Both, as the member is called that holds the part: `vm5/private.img.007`. */
  readonly name: string;
}

export function partName(path: string, index: number): PartName {
  return { path, index, name: `${path}.${index.toString().padStart(3, '0')}` };
}

/**
 * Takes a part's name apart. Undefined when it is not one that `partName` makes, or the path is one that ends
 * in `..`, which the name of a member does not show: `vm1/...000`.
 */
export function parsePartName(name: string): PartName | undefined {
  const match = /^(.+)\.([0-9]{3,9})$/.exec(name);
  if (match?.[1] === undefined || /(^|\/)(\.\.)?$/.test(match[1])) return undefined;
  const part = partName(match[1], Number(match[2]));
  return part.name === name ? part : undefined;
}

/** A part of a file is not what was sealed. */
export class DamagedPartError extends DamagedError {
  readonly path: string;
  readonly index: number;

  constructor({ path, index }: PartName, message: string, options?: ErrorOptions) {
    super(message, options);
    this.path = path;
    this.index = index;
  }
}
