/** A growing list of numbers below 2^32, four bytes each, for what grows with the number of chunks or parts. */
export class Uint32List {
  #array = new Uint32Array(64);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(number: number): void {
    if (this.#length === this.#array.length) {
      const larger = new Uint32Array(2 * this.#array.length);
      larger.set(this.#array);
      this.#array = larger;
    }
    this.#array[this.#length++] = number;
  }

  at(index: number): number {
    this.#require(index);
    return this.#array[index] ?? 0;
  }

  set(index: number, number: number): void {
    this.#require(index);
    this.#array[index] = number;
  }

  #require(index: number): void {
    if (index >= this.#length || index < 0) throw new RangeError(`there is no number ${index}`);
  }
}
