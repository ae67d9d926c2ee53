/** The result for one VM, or for dom0: a row of the table at the end. */
export interface Outcome {
  readonly name: string;
  readonly result:
    | 'restored'
    | 'restored in part'
    | 'failed'
    | 'left out'
    | 'verified'
    | 'damaged'
    /** Authentic, but it was already incomplete when the backup was made, and cannot be restored. */
    | 'incomplete'
    /** What was read of it is valid, but the backup as a whole is damaged. */
    | 'not verified';
  /** Bytes of its volumes; undefined for dom0's home, and where nothing was read. */
  readonly size: number | undefined;
  /** Bytes of data that were read, without holes. */
  readonly used: number;
  /** What the user should know: replacements, refused settings, the reason for a failure. */
  readonly remarks: readonly string[];
}
