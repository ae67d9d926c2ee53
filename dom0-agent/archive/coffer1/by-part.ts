/** A number below 2^32 for parts, by the file that they were born in and their number there; 0 for those that have none. */
export class ByPart {
  readonly #numbers = new Map<string, Uint32Array>();

  get(bornIn: string, part: number): number {
    return this.#numbers.get(bornIn)?.[part] ?? 0;
  }

  set(bornIn: string, part: number, number: number): void {
    this.#room(bornIn, part)[part] = number;
  }

  /** Those that have one, ascending within each file. */
  *entries(): Generator<{ bornIn: string; part: number; number: number }, void, undefined> {
    for (const [bornIn, numbers] of this.#numbers) {
      for (const [part, number] of numbers.entries()) {
        if (number !== 0) yield { bornIn, part, number };
      }
    }
  }

  #room(bornIn: string, part: number): Uint32Array {
    const numbers = this.#numbers.get(bornIn);
    if (numbers !== undefined && part < numbers.length) return numbers;
    let length = numbers?.length ?? 64;
    while (part >= length) length *= 2;
    const larger = new Uint32Array(length);
    if (numbers !== undefined) larger.set(numbers);
    this.#numbers.set(bornIn, larger);
    return larger;
  }
}
