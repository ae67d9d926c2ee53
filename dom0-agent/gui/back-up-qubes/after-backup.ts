import type { CofferProgram } from '../coffer-program.ts';
import type { Device } from '../place-choices.ts';
import { ResultPage, failurePage } from '../result-page.ts';
import { runProgram } from '../run-program.ts';
import { _, fill } from '../texts.ts';
import type { BackupResult } from '../coffer-events.ts';
import { verified } from '../verification.ts';
import type { Wizard } from '../wizard.ts';
import { type NextStep, backupResultPage } from './backup-result-page.ts';
import type { Destination, DestinationPage } from './destination-page.ts';
import { keepSome } from './keeping.ts';
import { TurningOff } from './turning-off.ts';

/** Shows the result of a backup, and does what the user chooses next. */
export class AfterBackup {
  readonly #wizard: Wizard;
  readonly #coffer: CofferProgram;
  readonly #destination: Destination;
  readonly #device: Device | undefined;
  readonly #result: BackupResult;
  #turningOff: TurningOff | undefined;

  /** @param isToTurnOff whether the computer will be turned off */
  constructor(
    wizard: Wizard,
    coffer: CofferProgram,
    { destination, device }: DestinationPage,
    result: BackupResult,
    isToTurnOff: boolean,
  ) {
    this.#wizard = wizard;
    this.#coffer = coffer;
    this.#destination = destination;
    this.#device = device;
    this.#result = result;
    this.#turningOff = isToTurnOff ? new TurningOff() : undefined;
  }

  /** Returns the names of the VMs to try again; never resolves if the window is closed. */
  async show(): Promise<readonly string[]> {
    for (;;) {
      const next = await this.#ask();
      this.#turningOff?.stop();
      this.#turningOff = undefined;
      if (next.step === 'again') return next.names;
      const outcome = await this.#outcomeOf(next.step).catch((error: unknown) =>
        failurePage(_('This failed'), error),
      );
      if (outcome !== undefined) await this.#wizard.conclude(outcome, _('_Finish'));
    }
  }

  #ask(): Promise<NextStep> {
    return new Promise((resolve) => {
      const page = backupResultPage(this.#result, this.#device, resolve, this.#turningOff?.widget);
      this.#wizard.show(page, { close: _('_Finish') });
    });
  }

  /** Undefined if the user went back. */
  async #outcomeOf(step: Exclude<NextStep['step'], 'again'>): Promise<ResultPage | undefined> {
    if (step === 'keep') return keepSome(this.#wizard, this.#coffer, this.#destination);
    if (step === 'unmount') return unmounted(this.#device);
    const file = { ...this.#destination, location: this.#result.path ?? '' };
    return verified(this.#wizard, this.#coffer, file);
  }
}

/** Unmounts a device in dom0, as the file manager does. */
async function unmounted(device: Device | undefined): Promise<ResultPage | undefined> {
  if (device === undefined) return undefined;
  await runProgram(['udisksctl', 'unmount', '--block-device', device.id]);
  const sentence = fill(_('{device} is unmounted.'), { device: device.id });
  return new ResultPage(_('The disk can be unplugged'), 'good', [sentence]);
}
