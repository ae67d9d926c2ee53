import Gio from 'gi://Gio?version=2.0';
import GLib from 'gi://GLib?version=2.0';
import { CofferFailed, type CofferProgram, resultOf } from '../coffer-program.ts';
import type { ProfilesResult, SavedProfile } from '../told.ts';

/** What the window calls its profiles: `window-1`, and `window-2` for the next one. */
const NAME = /^window-(\d{1,9})$/;

/** The choices of an earlier backup. */
export interface Settings {
  readonly vm: string;
  readonly location: string;
  readonly isCommand: boolean;
  readonly encrypt: boolean;
  readonly compress: boolean;
  /** Names of VMs. */
  readonly names: readonly string[];
}

/**
 * What the user chose to keep for the next time: profiles of coffer in the user's own directory, of which the window
 * uses the newest. There is never a passphrase in one.
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

  /** Those of the last time; undefined if there are none that can be used. */
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

  /** Forgets all but the last. Those that cannot be deleted stay, and do no harm. */
  async tidy(): Promise<void> {
    try {
      const former = (await this.#profiles()).slice(0, -1);
      for (const { file } of former) Gio.File.new_for_path(file).delete(null);
    } catch (error) {
      printerr(String(error));
    }
  }

  /** The window's own, the newest last. */
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
  // The window has no field for a command that leads to a directory.
  if (vm === null || location === null || qubes === null || through !== null) return [];
  const [isEncrypted, compress] = [encrypt !== false, compressFilter !== 'none'];
  return [
    { vm, location, isCommand: isCommand === true, encrypt: isEncrypted, compress, names: qubes },
  ];
}
