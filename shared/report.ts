/**
 * What is being done: finding out what is there and what is to be done, what changed since the last backup, data to
 * the storage, then the lists of what is where, the storage makes it durable; reading what is stored; data from the
 * storage; what remains to be done with restored VMs.
 */
export type Phase = 'look' | 'detect' | 'send' | 'index' | 'sync' | 'check' | 'receive' | 'settle';

/** How running work reports to the user. Only the command line prints. A VM is named, or `dom0` for its home. */
export interface Report {
  /** A line about what is happening: a VM is started, a volume is done. */
  info(text: string): void;
  /** Something that the user should know, and that is repeated in the result. */
  warning(text: string): void;
  /** A warning about something that could not be rolled back, or is kept; `what` names it. */
  rollbackFailed(what: string, warning: string): void;
  phase(phase: Phase): void;
  /** What of a VM is in progress: `private`. */
  working(qube: string, what: string): void;
  /** More bytes of a VM's data have been processed. */
  progress(qube: string, bytes: number): void;
  /** So many of them are in an earlier backup already. */
  known(qube: string, bytes: number): void;
  /** A VM is done; `failure` says why it is incomplete. */
  finished(qube: string, failure?: string): void;
}
