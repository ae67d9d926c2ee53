/** What a screen reader knows of one thing in a window. */
export interface Seen {
  /** Which child of which child of the desktop. */
  readonly path: readonly number[];
  readonly role: string;
  readonly name: string;
  /** The text of the label that belongs to it. */
  readonly label: string;
  readonly text: string;
  /** What leads to it, together with Alt. */
  readonly key: string;
  readonly isEnabled: boolean;
  readonly isChecked: boolean;
  readonly isFocused: boolean;
}

/**
 * What the driver is asked: to `start` a window, and to `end` it; it answers `look` with all that is shown, if it stayed
 * so, `change` when something has changed since, `bus` with the address of the session's bus, `notified` with the last notification that was not acted on, the others with whether it was possible.
 */
export type Request =
  | { readonly ask: 'look' }
  | { readonly ask: 'change' }
  | { readonly ask: 'end' }
  | { readonly ask: 'notified' }
  | { readonly ask: 'act' }
  | { readonly ask: 'bus' }
  | {
      readonly ask: 'start';
      readonly words: readonly string[];
      readonly environment: Readonly<Record<string, string>>;
    }
  | { readonly ask: 'press' | 'focus'; readonly path: readonly number[] }
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
  /** The label of what the user can do. */
  readonly action: string;
}

/** What an answer begins with: other programs of the session print, too. */
export const ANSWER = 'answer ';
