import Atspi from 'gi://Atspi?version=2.0';
import GLib from 'gi://GLib?version=2.0';

/** What programs tell of their windows: https://docs.gtk.org/atspi2/ (Atspi.EventListener.register) */
const KINDS = [
  ...['object:state-changed', 'object:text-changed', 'object:children-changed', 'window'],
  ...['object:property-change', 'object:visible-data-changed', 'object:model-changed'],
];
/** Milliseconds: after a change, more come. */
const SETTLING = 40;
/** Milliseconds: not all changes are told. */
const LONGEST = 1000;

/** Tells when something in a window has changed, so that nobody need look all the time. */
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

  /** From now on, what changes is new. */
  looked(): void {
    this.#isChanged = false;
  }

  /** Resolves when something has changed since the last look; after a while in any case. */
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
