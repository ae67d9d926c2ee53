/** `1 file`, `2 files` */
export function countOf(number: number, what: string): string {
  return number === 1 ? `1 ${what}` : `${number} ${what}s`;
}
