/** How it went with one VM, or with dom0's home: a row of the closing table. */
export interface Outcome {
  readonly name: string;
  readonly result:
    | 'restored'
    | 'restored in part'
    | 'failed'
    | 'left out'
    | 'verified'
    | 'damaged'
    /** Authentic, but what is in the backup is of no use: that was known when it was made. */
    | 'not whole'
    /** Nothing is wrong with what was read of it, but the backup's end does not vouch for it. */
    | 'not verified';
  /** Bytes of its volumes; undefined for dom0's home, and where nothing was read. */
  readonly size: number | undefined;
  /** Bytes of data that were read, holes not counted. */
  readonly used: number;
  /** What the user should know: replacements, refused settings, the reason of a failure. */
  readonly remarks: readonly string[];
}
