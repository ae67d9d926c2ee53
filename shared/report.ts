/**
 * What is being done:
 * - `look`: finding out what is there and what has to be done; a backup also holds its volumes
 * - `detect`: the same for a backup that continues a series, and finding out what has changed since the last one
 * - `send`: sending data to the storage
 * - `index`: sending the lists of where everything is
 * - `sync`: waiting until the storage has made it durable
 * - `check`: reading back what is stored
 * - `receive`: receiving data from the storage
 * - `settle`: what remains to be done with restored VMs
 */
export type Phase = 'look' | 'detect' | 'send' | 'index' | 'sync' | 'check' | 'receive' | 'settle';

/** How running work reports to the user. Only the command line prints. A VM is named, or `dom0` for its home. */
export interface Report {
  /** A line about what is happening: a VM is started, a volume is done. */
  info(text: string): void;
  /** Something that the user should know; it is repeated in the result. */
  warning(text: string): void;
  /** A warning about something that could not be rolled back, or is kept on purpose; `what` names it. */
  rollbackFailed(what: string, warning: string): void;
  phase(phase: Phase): void;
  /** Which part of a VM is in progress: `private`. */
  working(qube: string, what: string): void;
  /** More bytes of a VM's data have been processed. */
  progress(qube: string, bytes: number): void;
  /** This many of those bytes are already in an earlier backup. */
  known(qube: string, bytes: number): void;
  /** A VM is done; `failure` says why it is incomplete. */
  finished(qube: string, failure?: string): void;
}
