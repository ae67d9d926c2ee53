import Gio from 'gi://Gio?version=2.0';
import GLib from 'gi://GLib?version=2.0';
import type { CofferProgram } from '../coffer-program.ts';
import { type BackupDisk, lookAtBackups, wantsBackup } from './due-backups.ts';
import { followDevices } from './device-events.ts';
import { wantsDetails } from './timer-failure.ts';

/** How often the state of the backups is looked at, in seconds, if no disk is attached meanwhile. */
const INTERVAL = 6 * 60 * 60;
/** How long to wait until a disk that is being attached or mounted can be looked at, in ms. */
const SETTLING = 1000;

/**
 * Runs for as long as the user's session. Notifies the user when the disk of the backups is attached, once a day when a
 * backup is due, and when a timer's backup has failed, which the timer's unit reports with the action `failed`
 * (profile, exit status).
 */
export class Watch {
  readonly #coffer: CofferProgram;
  readonly #open: (words: readonly string[]) => void;
  readonly #mounts = Gio.UnixMountMonitor.get();
  /** The disks with backups that were there at the last look. */
  #disks: ReadonlySet<string> | undefined;
  /** The last day on which the user was told that a backup is due. */
  #told = '';
  #looking: Promise<void> | undefined;
  #isToLookAgain = false;
  #isAboutToLook = false;

  /** @param open opens a window of coffer-gui, with these arguments */
  constructor(coffer: CofferProgram, open: (words: readonly string[]) => void) {
    this.#coffer = coffer;
    this.#open = open;
  }

  start(application: Gio.Application): void {
    application.hold();
    const failed = Gio.SimpleAction.new('failed', GLib.VariantType.new('(ss)'));
    failed.connect('activate', (_action, given) => {
      const [profile, exitStatus] = given?.deepUnpack<[string, string]>() ?? ['', ''];
      void this.#tellOfFailure(profile, exitStatus);
    });
    application.add_action(failed);
    const interval = Number(GLib.getenv('COFFER_WATCH_SECONDS') ?? INTERVAL);
    this.#mounts.connect('mounts-changed', () => this.#lookSoon());
    void followDevices(() => this.#lookSoon()).catch(complain);
    GLib.timeout_add_seconds(GLib.PRIORITY_LOW, interval, () => {
      this.#look();
      return GLib.SOURCE_CONTINUE;
    });
    this.#look();
  }

  /** Waits for SETTLING, since one disk causes several events. */
  #lookSoon(): void {
    if (this.#isAboutToLook) return;
    this.#isAboutToLook = true;
    GLib.timeout_add(GLib.PRIORITY_LOW, SETTLING, () => {
      this.#isAboutToLook = false;
      this.#look();
      return GLib.SOURCE_REMOVE;
    });
  }

  /** Looks at the backups. If that is already going on, looks once more afterwards. */
  #look(): void {
    if (this.#looking !== undefined) {
      this.#isToLookAgain = true;
      return;
    }
    this.#looking = this.#lookNow()
      .catch(complain)
      .finally(() => {
        this.#looking = undefined;
        if (this.#isToLookAgain) this.#look();
      });
    this.#isToLookAgain = false;
  }

  async #lookNow(): Promise<void> {
    const now = await lookAtBackups(this.#coffer);
    const fresh = now.disks.filter(({ id }) => this.#disks?.has(id) === false);
    this.#disks = new Set(now.disks.map(({ id }) => id));
    const attached = toTellOf(fresh, now.areDue);
    const today = GLib.DateTime.new_now_local().format('%F') ?? '';
    if (attached === undefined && (!now.areDue || this.#told === today)) return;
    if (now.areDue) this.#told = today;
    void wantsBackup(now, attached)
      .then((wants) => {
        if (wants) this.#open(['backup']);
      })
      .catch(complain);
  }

  async #tellOfFailure(profile: string, exitStatus: string): Promise<void> {
    try {
      const wants = await wantsDetails(this.#coffer, profile, exitStatus);
      if (wants) this.#open(['failure', profile]);
    } catch (error) {
      complain(error);
    }
  }
}

/** The disk to mention in the notification. One that may hold no backup is mentioned only if a backup is due. */
function toTellOf(disks: readonly BackupDisk[], areDue: boolean): BackupDisk | undefined {
  return disks.find(({ qube }) => qube === undefined || areDue);
}

function complain(error: unknown): void {
  printerr(`coffer-gui: ${String(error)}`);
}
