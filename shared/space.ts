/** What a file system, or whoever speaks for it, says that it has room for. In bytes; undefined: not known. */
export interface Space {
  readonly freeBytes?: number | undefined;
  /** The largest file that it takes, where that is less than anybody needs: on FAT. */
  readonly largestFile?: number | undefined;
}
