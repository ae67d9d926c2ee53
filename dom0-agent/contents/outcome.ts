/** The result for one VM, or for dom0's home: a row of the closing table. */
export interface Outcome {
  readonly name: string;
  readonly result:
    | 'restored'
    | 'restored in part'
    | 'failed'
    | 'left out'
    | 'verified'
    | 'damaged'
    /** Authentic, but incomplete since the backup was made, and so of no use. */
    | 'incomplete'
    /** What was read of it is valid, but the end of the backup did not confirm it. */
    | 'not verified';
  /** Bytes of its volumes; undefined for dom0's home, and where nothing was read. */
  readonly size: number | undefined;
  /** Bytes of data that were read, without holes. */
  readonly used: number;
  /** What the user should know: replacements, refused settings, the reason of a failure. */
  readonly remarks: readonly string[];
}
