import { describeEnd } from '../../shared/child-process.ts';
import { RefusedError } from '../../shared/errors.ts';
import { printableWords } from '../../shared/printable.ts';
import { KiB } from '../../shared/sizes.ts';
import type { Report } from '../../shared/report.ts';
import type { OpenedSystem } from './open-system.ts';
import { giveAhead } from './passphrase-ahead.ts';
import { readUntil } from './read-passphrase.ts';

/** In bytes: a longer answer is refused. */
const LONGEST = 64 * KiB;
const LINE_FEED = 0x0a;
/** White space as Python's `bytes.strip` defines it. */
const BLANKS: readonly number[] = [...Buffer.from(' \t\n\r\v\f')];

/** What says where the passphrase comes from. */
interface PassphraseSource {
  readonly passphraseText?: string | undefined;
  readonly flags: {
    readonly passphraseFile?: string;
    readonly passphraseVm?: string;
    readonly profile?: string;
  };
}

/**
 * Obtains the passphrase from the profile or from the VM that `--passphrase-vm` names, if one of them is given and
 * there is no passphrase file; then the user is not asked for it. Throws RefusedError, StorageError and
 * InterruptedError.
 */
export async function obtainAhead(
  { passphraseText, flags }: PassphraseSource,
  opened: OpenedSystem,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  if (flags.passphraseFile !== undefined) return;
  if (passphraseText !== undefined) {
    report.warning(
      `the passphrase is in the profile ${flags.profile ?? ''} itself, so whoever can read the profile knows it: ` +
        'a passphrase file is safer (coffer passphrase-file)',
    );
    giveAhead(Buffer.from(passphraseText));
  } else if (flags.passphraseVm !== undefined) {
    giveAhead(await passphraseOf(flags.passphraseVm, flags.profile ?? '', opened, signal));
  }
}

/** Asks a VM as the official tools do: qubes.BackupPassphrase+PROFILE; white space around the answer is removed. */
async function passphraseOf(
  vm: string,
  profile: string,
  { startService, system }: OpenedSystem,
  signal: AbortSignal,
): Promise<Buffer> {
  if (startService === undefined) {
    throw new RefusedError(`${system.description} has no VM that could be asked for a passphrase`);
  }
  await using client = await startService(vm, `qubes.BackupPassphrase+${profile}`, signal);
  const untrusted = await readUntil(client.stdout, ({ length }) => length > LONGEST);
  const end = untrusted.length > LONGEST ? undefined : await client.ended;
  signal.throwIfAborted();
  const passphrase = stripped(untrusted);
  const why =
    end === undefined
      ? 'more than 64 KiB'
      : end.exitStatus !== 0
        ? `nothing: qubes.BackupPassphrase ${describeEnd(end)}, ${printableWords(end.untrustedStderr)}`
        : passphrase.length === 0
          ? 'nothing, which cancels the backup'
          : passphrase.includes(LINE_FEED)
            ? 'more than one line'
            : undefined;
  if (why === undefined) return passphrase;
  untrusted.fill(0);
  throw new RefusedError(`${vm} was asked for the passphrase, but said ${why}`);
}

/** A view of the same bytes, without white space at the beginning and the end. */
function stripped(bytes: Buffer): Buffer {
  const first = bytes.findIndex((byte) => !BLANKS.includes(byte));
  const last = bytes.findLastIndex((byte) => !BLANKS.includes(byte));
  return bytes.subarray(Math.max(first, 0), last + 1);
}
