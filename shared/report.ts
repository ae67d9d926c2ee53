/** How running work reports to the user. Only the command line prints. */
export interface Report {
  /** A line about what is happening: a VM is started, a volume is done. */
  info(text: string): void;
  /** Something that the user should know, and that is repeated in the result. */
  warning(text: string): void;
  /** A warning about something that could not be rolled back, or is kept; `what` names it. */
  rollbackFailed(what: string, warning: string): void;
  /** More bytes of the volumes have been processed. */
  progress(bytes: number): void;
}
