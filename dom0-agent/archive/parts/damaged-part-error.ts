import { DamagedError } from '../../../shared/errors.ts';

/** A part of a file is not what was sealed: `vm5/private.img`, 47. */
export class DamagedPartError extends DamagedError {
  readonly path: string;
  readonly index: number;

  /** @param fault what is wrong with it, for a sentence that begins with its name */
  constructor(name: string, fault: string) {
    super(`${name} in the backup ${fault}`);
    const dot = name.lastIndexOf('.');
    this.path = name.slice(0, dot);
    this.index = Number(name.slice(dot + 1));
  }
}
