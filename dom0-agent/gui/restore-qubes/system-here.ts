import type { QubeHere } from '../told.ts';

/** The longest name of a VM. */
const LONGEST_NAME = 31;

/** What there is on this system already, for what a backup brings. */
export class SystemHere {
  readonly #qubes: readonly QubeHere[];
  readonly #names: ReadonlySet<string>;

  constructor(qubes: readonly QubeHere[]) {
    this.#qubes = qubes;
    this.#names = new Set(qubes.map(({ name }) => name));
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** A proposal for a name that is taken: `work-1`. Whether it can be used, coffer says. */
  otherName(wanted: string, taken: ReadonlySet<string>): string {
    for (let number = 1; ; number++) {
      const suffix = `-${number}`;
      const name = wanted.slice(0, LONGEST_NAME - suffix.length) + suffix;
      if (!this.has(name) && !taken.has(name)) return name;
    }
  }

  /** The names of what a VM of that class can be based on. */
  templatesFor(qubeClass: string): string[] {
    const isFit = ({ class: own, forDisposables }: QubeHere): boolean =>
      qubeClass === 'DispVM' ? forDisposables : own === 'TemplateVM';
    return this.#qubes
      .filter(isFit)
      .map(({ name }) => name)
      .sort();
  }
}
