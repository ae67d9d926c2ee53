/** How work under way tells the user of itself. Only the command line prints. */
export interface Report {
  /** A line on what happens: a VM is started, a volume done. */
  info(text: string): void;
  /** Something that the user should know, and that stays in the result. */
  warning(text: string): void;
  /** A warning of something that could not be rolled back, or is kept; `what` names it. */
  leftover(what: string, warning: string): void;
  /** So many bytes more of the volumes have been worked off. */
  progress(bytes: number): void;
}
