/** The options of every command that deals with an archive, as commander gives them. */
export interface ArchiveFlags {
  readonly destVm?: string;
  readonly command?: true;
  readonly passphraseFile?: string;
  readonly system?: string;
  readonly json?: true;
  readonly quiet?: true;
  /** What an official backup was compressed with, whatever it says itself. For reading only. */
  readonly compressionFilter?: string;
}
