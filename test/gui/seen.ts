/** What a screen reader knows about one thing in a window. */
export interface Seen {
  /** The path from the desktop, as numbers of children. */
  readonly path: readonly number[];
  readonly role: string;
  readonly name: string;
  /** The text of the label that belongs to it. */
  readonly label: string;
  readonly text: string;
  /** Its access key, which is pressed together with Alt. */
  readonly key: string;
  readonly isEnabled: boolean;
  /** If it is disabled: the sentence that says why. */
  readonly why: string;
  /** The width and height of a window, whatever the scale of the screen; empty for everything else. */
  readonly size: readonly number[];
  readonly isChecked: boolean;
  readonly isFocused: boolean;
}

/**
 * A request to the driver. `start` opens a window, and `end` ends it. It answers `start` with the id of its process,
 * `look` with everything that is shown, if that did not change meanwhile, `change` once something has changed since,
 * `bus` with the address of the session bus, `clipboard` with its text, `notified` with the last notification whose
 * action was not chosen, and the others with whether they were possible.
 */
export type Request =
  | { readonly ask: 'look' }
  | { readonly ask: 'change' }
  | { readonly ask: 'end' }
  | { readonly ask: 'notified' }
  | { readonly ask: 'act' }
  | { readonly ask: 'bus' }
  | { readonly ask: 'clipboard' }
  | {
      readonly ask: 'start';
      readonly words: readonly string[];
      readonly environment: Readonly<Record<string, string>>;
    }
  | { readonly ask: 'press' | 'focus' | 'activate'; readonly path: readonly number[] }
  | { readonly ask: 'key'; readonly key: string; readonly withAlt: boolean }
  | { readonly ask: 'drag'; readonly path: readonly number[]; readonly to: readonly number[] }
  | {
      readonly ask: 'picture';
      readonly file: string;
      readonly width: number;
      readonly height: number;
    }
  | { readonly ask: 'choose'; readonly path: readonly number[]; readonly text: string }
  | { readonly ask: 'type'; readonly path: readonly number[]; readonly text: string };

/** A notification of the desktop. */
export interface Notified {
  readonly summary: string;
  readonly body: string;
  /** The label of its action. */
  readonly action: string;
}

/** The beginning of an answer: other programs of the session print, too. */
export const ANSWER = 'answer ';
