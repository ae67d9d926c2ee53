/** The space in a file system, as reported. In bytes; undefined: unknown. */
export interface Space {
  readonly freeBytes?: number | undefined;
  /** The largest possible file, if that limit matters: on FAT. */
  readonly largestFile?: number | undefined;
}
