import Gio from 'gi://Gio?version=2.0';
import GLib from 'gi://GLib?version=2.0';
import { CofferFailed, type CofferProgram, resultOf } from '../coffer-program.ts';
import type { ProfilesResult, SavedProfile } from '../coffer-events.ts';

/** The names of the window's profiles: `window-1`, then `window-2`. */
const NAME = /^window-(\d{1,9})$/;

/** The choices of an earlier backup. */
export interface Settings {
  readonly vm: string;
  readonly location: string;
  readonly isCommand: boolean;
  readonly through: string;
  readonly encrypt: boolean;
  readonly compress: boolean;
  /** The names of the VMs. */
  readonly names: readonly string[];
}

/**
 * The settings that the user saved for the next time: coffer profiles in the user's own directory, of which the window
 * uses the newest. They never contain a passphrase.
 */
export class SavedSettings {
  readonly #coffer: CofferProgram;
  readonly #directory = GLib.build_filenamev([GLib.get_user_config_dir(), 'coffer']);

  constructor(coffer: CofferProgram) {
    this.#coffer = coffer;
  }

  /** The environment in which coffer reads and writes these profiles. */
  get environment(): Readonly<Record<string, string>> {
    return { COFFER_PROFILES: this.#directory };
  }

  /** The settings of the last time; undefined if there are none that can be used. */
  async last(): Promise<Settings | undefined> {
    try {
      return (await this.#profiles()).flatMap(settingsIn).at(-1);
    } catch (error) {
      if (error instanceof CofferFailed) return undefined;
      throw error;
    }
  }

  /** The options of `coffer backup` that save its settings. */
  async optionsToSave(): Promise<string[]> {
    GLib.mkdir_with_parents(this.#directory, 0o700);
    const last = (await this.#profiles()).at(-1);
    return ['--save-profile', `window-${(last === undefined ? 0 : numberOf(last)) + 1}`];
  }

  /** Deletes all but the newest. If that fails, the others do no harm. */
  async tidy(): Promise<void> {
    try {
      const former = (await this.#profiles()).slice(0, -1);
      for (const { file } of former) Gio.File.new_for_path(file).delete(null);
    } catch (error) {
      printerr(String(error));
    }
  }

  /** The window's own profiles, the newest last. */
  async #profiles(): Promise<SavedProfile[]> {
    const listing = this.#coffer.start(['profiles'], this.environment);
    const { profiles } = (await resultOf(listing)) as ProfilesResult;
    return profiles
      .filter(({ name }) => NAME.test(name))
      .sort((one, other) => numberOf(one) - numberOf(other));
  }
}

function numberOf({ name }: SavedProfile): number {
  return Number(NAME.exec(name)?.[1] ?? 0);
}

function settingsIn({
  vm,
  location,
  isCommand,
  through,
  encrypt,
  compressFilter,
  qubes,
}: SavedProfile): Settings[] {
  if (vm === null || location === null || qubes === null) return [];
  return [
    {
      ...{ vm, location, isCommand: isCommand === true, through: through ?? '' },
      ...{ encrypt: encrypt !== false, compress: compressFilter !== 'none', names: qubes },
    },
  ];
}
