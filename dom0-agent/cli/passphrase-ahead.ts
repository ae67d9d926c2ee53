/**
 * A passphrase that was obtained before the command asks for it: by the wizard, which asks in another order, or from a
 * profile or a VM. It answers the next question for a passphrase, once.
 */
let ahead: Buffer | undefined;

/** Hands over a passphrase: whoever takes it wipes it. An earlier one that was not taken is wiped. */
export function giveAhead(passphrase: Buffer): void {
  ahead?.fill(0);
  ahead = passphrase;
}

/** The passphrase that was handed over, if there is one. The caller wipes it. */
export function takeAhead(): Buffer | undefined {
  const taken = ahead;
  ahead = undefined;
  return taken;
}
