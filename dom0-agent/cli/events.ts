import type { Phase } from '../../shared/report.ts';

/** The version of the events in docs/json.md: it is increased when a field is removed or changes its meaning. */
export const SCHEMA = 1;

/** The input that an error or a problem is about: LOCATION, the VMs, the passphrase, or an option by its long name. */
export type Field = 'location' | 'vms' | 'passphrase' | (string & {});

/** Something that may go wrong, and that the user should know before agreeing. */
export interface Problem {
  readonly field: Field | null;
  readonly sentence: string;
}

export type QubeState = 'working' | 'done' | 'failed';

/**
 * What `--json` prints, one line each: docs/json.md describes every field, and a test checks every event against it. A
 * plan and a result have further fields, by command.
 */
export type Event =
  | { readonly event: 'plan'; readonly command: string; readonly problems: readonly Problem[] }
  | { readonly event: 'phase'; readonly phase: Phase }
  | {
      readonly event: 'qube';
      readonly name: string;
      readonly state: QubeState;
      /** What is in progress, or why it failed. */
      readonly what: string | null;
      readonly read: number;
      readonly new: number;
      readonly total: number;
    }
  | {
      readonly event: 'progress';
      readonly bytes: number;
      readonly total: number;
      readonly stored: number | null;
      readonly rate: number | null;
      readonly secondsLeft: number | null;
      readonly seconds: number;
    }
  | {
      readonly event: 'question';
      readonly question: Question;
      readonly text: string;
    }
  | { readonly event: 'info' | 'warning'; readonly sentence: string }
  | {
      readonly event: 'result';
      readonly command: string;
      readonly ok: boolean;
      readonly exitStatus: number;
    }
  | {
      readonly event: 'error';
      readonly field: Field | null;
      /** The name of the VM in the backup. */
      readonly vm: string | null;
      readonly sentence: string;
      readonly exitStatus: number;
    };

/** `optional-passphrase`: an empty answer means that there is none. */
export type Question = 'confirm' | 'passphrase' | 'optional-passphrase' | 'new-passphrase';
