import type { QubeHere, StatusResult } from '../coffer-events.ts';

/** The longest name of a VM. */
const LONGEST_NAME = 31;

/** The VMs that are already on this system, for choosing names and templates. */
export class SystemHere {
  readonly #qubes: readonly QubeHere[];
  readonly #names: ReadonlySet<string>;
  readonly #kernels: readonly string[] | null;

  constructor({ qubes, excluded, kernels }: StatusResult) {
    this.#qubes = [...qubes, ...excluded];
    this.#names = new Set(this.#qubes.map(({ name }) => name));
    this.#kernels = kernels;
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** A proposal to replace a name that is taken: `work-1`. Only coffer decides whether it can be used. */
  otherName(wanted: string, taken: ReadonlySet<string>): string {
    for (let number = 1; ; number++) {
      const suffix = `-${number}`;
      const name = wanted.slice(0, LONGEST_NAME - suffix.length) + suffix;
      if (!this.has(name) && !taken.has(name)) return name;
    }
  }

  /** The names of the VMs that a VM of this class can be based on. */
  templatesFor(qubeClass: string): string[] {
    const isFit = ({ class: own, forDisposables }: QubeHere): boolean =>
      qubeClass === 'DispVM' ? forDisposables : own === 'TemplateVM';
    return this.#namesOf(isFit);
  }

  /** The names that this property of a VM can have here; undefined if that is not known. */
  fitFor(property: string): readonly string[] | undefined {
    switch (property) {
      case 'netvm':
        return this.#namesOf(({ providesNetwork }) => providesNetwork);
      case 'default_dispvm':
      case 'management_dispvm':
        return this.#namesOf(({ forDisposables }) => forDisposables);
      case 'kernel':
        return this.#kernels ?? undefined;
      default:
        return this.#namesOf(() => true);
    }
  }

  #namesOf(isFit: (qube: QubeHere) => boolean): string[] {
    return this.#qubes
      .filter(isFit)
      .map(({ name }) => name)
      .sort();
  }
}
