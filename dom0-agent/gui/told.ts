import type { Event } from '../cli/events.ts';

export type { Event } from '../cli/events.ts';
export type ErrorEvent = Extract<Event, { event: 'error' }>;
export type ResultEvent = Extract<Event, { event: 'result' }>;

/** What windows read of a result of `coffer status`: docs/json.md. */
export interface StatusResult extends ResultEvent {
  readonly due: number;
  readonly qubes: readonly StatusOfQube[];
  readonly excluded: readonly QubeHere[];
}

/** A VM of this system. */
export interface QubeHere {
  readonly name: string;
  readonly class: string;
  readonly label: string;
  readonly running: boolean;
  readonly size: number | null;
  readonly used: number | null;
}

export interface StatusOfQube extends QubeHere {
  readonly state: 'backed up' | 'due' | 'never' | 'damaged';
  readonly created: string | null;
  readonly location: string | null;
  readonly check: { readonly at: string; readonly result: 'verified' | 'damaged' } | null;
}
