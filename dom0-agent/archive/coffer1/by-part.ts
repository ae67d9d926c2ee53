/**
 * A number below 2^32 for each part, by the file in which it was first stored and its number there; 0 if none was set.
 */
export class ByPart {
  readonly #numbers = new Map<string, Uint32Array>();

  get(bornIn: string, part: number): number {
    return this.#numbers.get(bornIn)?.[part] ?? 0;
  }

  set(bornIn: string, part: number, number: number): void {
    this.#arrayFor(bornIn, part)[part] = number;
  }

  /** The parts whose number is not 0, ascending within each file. */
  *entries(): Generator<{ bornIn: string; part: number; number: number }, void, undefined> {
    for (const [bornIn, numbers] of this.#numbers) {
      for (const [part, number] of numbers.entries()) {
        if (number !== 0) yield { bornIn, part, number };
      }
    }
  }

  /** The array for a file, extended if necessary so that it has this part. */
  #arrayFor(bornIn: string, part: number): Uint32Array {
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
