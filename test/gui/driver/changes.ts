import Atspi from 'gi://Atspi?version=2.0';
import GLib from 'gi://GLib?version=2.0';

/** The events of windows: https://docs.gtk.org/atspi2/ (Atspi.EventListener.register) */
const KINDS = [
  ...['object:state-changed', 'object:text-changed', 'object:children-changed', 'window'],
  ...['object:property-change', 'object:visible-data-changed', 'object:model-changed'],
];
/** In milliseconds: after a change, more follow. */
const SETTLING = 40;
/** In milliseconds: not every change has an event. */
const LONGEST = 1000;

/** Waits for changes in a window, so that the tests need not poll. */
export class Changes {
  #isChanged = false;
  #tell: () => void = () => undefined;
  // Nobody else holds it.
  readonly #listener = Atspi.EventListener.new(() => {
    this.#isChanged = true;
    this.#tell();
  });

  constructor() {
    for (const kind of KINDS) this.#listener.register(kind);
  }

  /** Forgets the changes so far. */
  looked(): void {
    this.#isChanged = false;
  }

  /** Resolves when something has changed since the last look, or after a while. */
  async wait(): Promise<boolean> {
    if (!this.#isChanged) {
      await new Promise<void>((resolve) => {
        this.#tell = resolve;
        void after(LONGEST).then(resolve);
      });
    }
    await after(SETTLING);
    return true;
  }
}

/** Resolves then. */
export function after(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    GLib.timeout_add(GLib.PRIORITY_DEFAULT, milliseconds, () => {
      resolve();
      return GLib.SOURCE_REMOVE;
    });
  });
}
