import GLib from 'gi://GLib?version=2.0';
import Gtk from 'gi://Gtk?version=3.0';
import { type CofferProgram, resultOf } from './coffer-program.ts';
import { type Form, explain, say } from './form.ts';
import type { Place } from './place-fields.ts';
import { _, fill, sizeText } from './texts.ts';
import type { DevicesResult, MountedDevice, OfferedDevice, PlaceHere } from './coffer-events.ts';

/** How often devices and qubes are looked at again, in seconds. */
const INTERVAL = 5;
/** The id of the first item in the choice of devices. */
const NO_DEVICE = '';

/** A device that can be chosen. */
export interface Device {
  /** In dom0 its path, `/dev/sdb1`; otherwise `sys-usb:sda1`. */
  readonly id: string;
  readonly text: string;
  readonly vm: string;
  /** Where it is mounted in dom0; undefined if it is in a qube. */
  readonly directory: string | undefined;
}

/** The choices of a device and of a qube. While they are shown, they are updated when devices and qubes come and go. */
export class PlaceChoices {
  /** Called when another qube is chosen. */
  changed: () => void = () => undefined;
  /** Called with the directory in which the chosen device is mounted. */
  deviceChosen: (directory: string) => void = () => undefined;
  readonly #coffer: CofferProgram;
  readonly #device = new Gtk.ComboBoxText({ hexpand: true });
  readonly #deviceNote: Gtk.Label;
  readonly #vm = new Gtk.ComboBoxText();
  readonly #vmNote: Gtk.Label;
  #devices: readonly Device[] = [];
  /** The id of the device that the user chose last: it is chosen again when it comes back. */
  #wanted = NO_DEVICE;
  #places: readonly PlaceHere[] = [];
  /** What is shown, so that it is only changed when there is something new. */
  #shown = '';
  #isFollowing = false;
  #looking: Promise<void> | undefined;
  /** Whether the items are being replaced: then what changes is not chosen by the user. */
  #isRefilling = false;

  constructor(coffer: CofferProgram, form: Form, qubeLabel: string) {
    this.#coffer = coffer;
    const refresh = Gtk.Button.new_from_icon_name('view-refresh-symbolic', Gtk.IconSize.BUTTON);
    refresh.tooltipText = _('Look for devices and qubes again');
    refresh.get_accessible().set_name(_('Refresh'));
    refresh.connect('clicked', () => {
      void this.look();
      this.changed();
    });
    form.field(_('De_vice'), this.#device, refresh);
    this.#deviceNote = form.note();
    explain(this.#device, this.#deviceNote);
    form.field(qubeLabel, this.#vm);
    this.#vmNote = form.note();
    this.#device.connect('changed', () => {
      if (this.#isRefilling) return;
      this.#wanted = this.#device.get_active_id() ?? NO_DEVICE;
      this.#chooseDevice();
    });
    this.#vm.connect('changed', () => {
      if (!this.#isRefilling) this.#chooseQube();
    });
    this.#device.connect('map', () => this.#lookEvery(INTERVAL));
  }

  get vm(): string {
    return this.#vm.get_active_id() ?? '';
  }

  set vm(name: string) {
    if (!this.#vm.set_active_id(name)) this.#vm.active = 0;
  }

  /** The device that a directory is on. For a directory in a qube, that is the chosen device, if it is in that qube. */
  deviceOf({ vm, location }: Pick<Place, 'vm' | 'location'>): Device | undefined {
    return this.#devices.find(({ id, vm: owner, directory }) =>
      directory === undefined
        ? owner === vm && id === this.#device.get_active_id()
        : vm === 'dom0' && `${location}/`.startsWith(`${directory}/`),
    );
  }

  /** Asks coffer what there is now, and shows it. */
  look(): Promise<void> {
    this.#looking ??= this.#lookNow().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  async #lookNow(): Promise<void> {
    try {
      this.#show((await resultOf(this.#coffer.start(['devices']))) as DevicesResult);
    } catch (error) {
      say(this.#deviceNote, error instanceof Error ? error.message : String(error));
    }
  }

  #lookEvery(seconds: number): void {
    if (this.#isFollowing) return;
    this.#isFollowing = true;
    GLib.timeout_add_seconds(GLib.PRIORITY_DEFAULT, seconds, () => {
      this.#isFollowing = this.#device.get_mapped();
      if (!this.#isFollowing) return GLib.SOURCE_REMOVE;
      void this.look();
      return GLib.SOURCE_CONTINUE;
    });
  }

  #show(found: DevicesResult): void {
    const now = JSON.stringify(found);
    if (now === this.#shown) return;
    this.#shown = now;
    const [device, place] = [this.#chosenDevice, this.#chosenPlace];
    this.#devices = [...found.mounted.map(inDom0), ...found.offered.map(inQube)];
    this.#places = found.places;
    this.#isRefilling = true;
    const none = { id: NO_DEVICE, text: _('none: a directory in a qube') };
    refill(this.#device, [none, ...this.#devices], this.#wanted);
    const places = this.#places.map(({ name, running }) => ({
      ...{ id: name, text: textOf(name, running) },
    }));
    refill(this.#vm, places, place?.name);
    this.#isRefilling = false;
    this.#device.sensitive = this.#devices.length > 0;
    const isOther = !isSameDevice(device, this.#chosenDevice);
    if (isOther) this.#chooseDevice();
    else this.#sayAboutDevice();
    // Otherwise, what was known about the place still holds: a device may only have less free space.
    if (isOther || !isSamePlace(place, this.#chosenPlace)) this.#chooseQube();
  }

  get #chosenDevice(): Device | undefined {
    return this.#devices.find(({ id }) => id === this.#device.get_active_id());
  }

  get #chosenPlace(): PlaceHere | undefined {
    return this.#places.find(({ name }) => name === this.vm);
  }

  #chooseDevice(): void {
    const chosen = this.#chosenDevice;
    if (chosen !== undefined) {
      this.vm = chosen.vm;
      if (chosen.directory !== undefined) this.deviceChosen(chosen.directory);
    }
    this.#sayAboutDevice();
  }

  #sayAboutDevice(): void {
    const chosen = this.#chosenDevice;
    const sentences = [
      this.#wanted !== NO_DEVICE && chosen === undefined
        ? fill(_('{device} is not attached any more.'), { device: this.#wanted })
        : '',
      this.#devices.length === 0 ? _('No removable device is attached to dom0 or to a qube.') : '',
      chosen !== undefined && chosen.directory === undefined
        ? fill(_('Mount it in {qube}, then choose its directory with …'), { qube: chosen.vm })
        : '',
    ];
    say(this.#deviceNote, sentences.filter((sentence) => sentence !== '').join(' '));
  }

  #chooseQube(): void {
    const chosen = this.#chosenPlace;
    const isHalted = chosen !== undefined && !chosen.running && chosen.class !== 'AdminVM';
    say(
      this.#vmNote,
      isHalted ? fill(_('{qube} is not running: it will be started.'), { qube: chosen.name }) : '',
    );
    this.changed();
  }
}

function isSamePlace(one: PlaceHere | undefined, other: PlaceHere | undefined): boolean {
  return one?.name === other?.name && one?.running === other?.running;
}

function isSameDevice(one: Device | undefined, other: Device | undefined): boolean {
  return one?.id === other?.id && one?.vm === other?.vm && one?.directory === other?.directory;
}

function textOf(name: string, running: boolean): string {
  return running || name === 'dom0' ? name : fill(_('{qube} (not running)'), { qube: name });
}

function inDom0({ device, mountPoint, label, free }: MountedDevice): Device {
  const name = label ?? device;
  return {
    ...{ id: device, vm: 'dom0', directory: mountPoint },
    text:
      free === null
        ? fill(_('{name}, in dom0'), { name })
        : fill(_('{name}, in dom0: {free} free'), { name, free: sizeText(free) }),
  };
}

function inQube({ backend, port, description, size, attachedTo }: OfferedDevice): Device {
  const vm = attachedTo ?? backend;
  const name = description === '' ? port : description;
  return {
    ...{ id: `${backend}:${port}`, vm, directory: undefined },
    text: fill(_('{name}, in {qube}: {size}'), {
      ...{ name, qube: vm },
      size: size === null ? '?' : sizeText(size),
    }),
  };
}

/** Replaces the items, and chooses the one with this id; if there is none, the first one. */
function refill(
  choice: Gtk.ComboBoxText,
  items: readonly { readonly id: string; readonly text: string }[],
  chosen: string | undefined,
): void {
  choice.remove_all();
  for (const { id, text } of items) choice.append(id, text);
  if (chosen === undefined || !choice.set_active_id(chosen)) choice.active = 0;
}
