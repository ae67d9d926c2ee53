/** What the user said about a restore: the options of `coffer restore`. */
export interface RestoreChoices {
  /** Empty: all of the backup; `dom0` stands for dom0's home. */
  readonly chosen: readonly string[];
  readonly excluded: readonly string[];
  /** Restore under `name-1` where the name is taken, rather than refuse. */
  readonly renameConflicting: boolean;
  /** Leave out where the name is taken, rather than refuse. */
  readonly skipConflicting: boolean;
  /** Put the system's default in the place of a missing template, netvm or default DispVM. */
  readonly ignoreMissing: boolean;
  /** Leave out a VM that lacks something, rather than refuse. */
  readonly skipBroken: boolean;
  readonly skipDom0Home: boolean;
  /** Restore dom0's home though it belonged to a user of another name. */
  readonly ignoreUsernameMismatch: boolean;
  /** The backup may come from a compromised system: restore data, but nothing that steers. */
  readonly paranoid: boolean;
  /** The storage pool for the new volumes; undefined: the system's default. */
  readonly pool: string | undefined;
}
