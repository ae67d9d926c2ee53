import { InterruptedError, WrongPassphraseError } from '../../shared/errors.ts';
import { ChoiceRefusedError } from '../restore/choices-for-qubes.ts';
import type { Field } from './events.ts';

/** The inputs that errors are about. */
const fields = new WeakMap<Error, Field>();

/** The result of `work`; its errors are about this input, unless they are already known to be about another. */
export async function aboutField<T>(field: Field, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const isAboutInput = error instanceof Error && !(error instanceof InterruptedError);
    if (isAboutInput && errorFieldOf(error) === undefined) fields.set(error, field);
    throw error;
  }
}

/** The input that an error is about, if it is known. */
export function errorFieldOf(error: unknown): Field | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error instanceof WrongPassphraseError) return 'passphrase';
  if (error instanceof ChoiceRefusedError) return error.option;
  return fields.get(error) ?? errorFieldOf(error.cause);
}

/** The name in the backup of the VM that an error is about, if it is about what was chosen for one VM. */
export function errorVmOf(error: unknown): string | undefined {
  return error instanceof ChoiceRefusedError ? error.vm : undefined;
}

/** The input that a message from commander is about, such as `option '-d, --dest-vm <VM>' argument missing`. */
export function fieldInUsage(message: string): Field | undefined {
  const option = /option '[^']*?--(?:no-)?([a-z-]+)/.exec(message)?.[1];
  if (option !== undefined) return option;
  return /argument '(\w+)/.exec(message)?.[1]?.toLowerCase();
}
