/**
 * A passphrase that was asked for before a command needs it: the wizard asks in another order. It is given once, to
 * whoever asks next.
 */
let ahead: Buffer | undefined;

/** The passphrase is handed over: whoever takes it wipes it. One that was not taken is wiped. */
export function giveAhead(passphrase: Buffer): void {
  ahead?.fill(0);
  ahead = passphrase;
}

export function takeAhead(): Buffer | undefined {
  const taken = ahead;
  ahead = undefined;
  return taken;
}
