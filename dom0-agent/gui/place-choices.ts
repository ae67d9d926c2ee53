import GLib from 'gi://GLib?version=2.0';
import Gtk from 'gi://Gtk?version=3.0';
import { type CofferProgram, resultOf } from './coffer-program.ts';
import { type Form, say } from './form.ts';
import type { Place } from './place-fields.ts';
import { _, fill, sizeText } from './texts.ts';
import type { DevicesResult, MountedDevice, OfferedDevice, PlaceHere } from './told.ts';

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
  #places: readonly PlaceHere[] = [];
  /** What is shown, so that it is only changed when there is something new. */
  #shown = '';
  #isFollowing = false;

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
    form.field(qubeLabel, this.#vm);
    this.#vmNote = form.note();
    this.#device.connect('changed', () => this.#chooseDevice());
    this.#vm.connect('changed', () => this.#chooseQube());
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
  async look(): Promise<void> {
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
    this.#devices = [...found.mounted.map(inDom0), ...found.offered.map(inQube)];
    this.#places = found.places;
    const none = { id: NO_DEVICE, text: _('none: a directory in a qube') };
    refill(this.#device, [none, ...this.#devices]);
    refill(
      this.#vm,
      this.#places.map(({ name, running }) => ({ id: name, text: textOf(name, running) })),
    );
    this.#device.sensitive = this.#devices.length > 0;
    say(
      this.#deviceNote,
      this.#devices.length > 0 ? '' : _('No removable device is attached to dom0 or to a qube.'),
    );
  }

  #chooseDevice(): void {
    const chosen = this.#devices.find(({ id }) => id === this.#device.get_active_id());
    if (chosen === undefined) {
      if (this.#devices.length > 0) say(this.#deviceNote, '');
      return;
    }
    this.vm = chosen.vm;
    const { directory } = chosen;
    if (directory !== undefined) this.deviceChosen(directory);
    say(
      this.#deviceNote,
      directory === undefined
        ? fill(_('Mount it in {qube}, then choose its directory with …'), { qube: chosen.vm })
        : '',
    );
  }

  #chooseQube(): void {
    const chosen = this.#places.find(({ name }) => name === this.vm);
    const isHalted = chosen !== undefined && !chosen.running && chosen.class !== 'AdminVM';
    say(
      this.#vmNote,
      isHalted ? fill(_('{qube} is not running: it will be started.'), { qube: chosen.name }) : '',
    );
    this.changed();
  }
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
  return {
    ...{ id: `${backend}:${port}`, vm, directory: undefined },
    text: fill(_('{name}, in {qube}: {size}'), {
      ...{ name: description === '' ? port : description, qube: vm },
      size: size === null ? '?' : sizeText(size),
    }),
  };
}

/** Replaces the items; what was chosen stays chosen if it is still there. */
function refill(
  choice: Gtk.ComboBoxText,
  items: readonly { readonly id: string; readonly text: string }[],
): void {
  const former = choice.get_active_id();
  choice.remove_all();
  for (const { id, text } of items) choice.append(id, text);
  if (former === null || !choice.set_active_id(former)) choice.active = 0;
}
