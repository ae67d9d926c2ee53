import { printable } from '../../../shared/printable.ts';

/** What sudo, or the sudo written in Rust, says when it does not run a command, and what that means. */
const REFUSALS: readonly (readonly [words: RegExp, meaning: string])[] = [
  [
    // With -n it also says this of a user or a command that sudoers does not allow.
    /^sudo: .*(password|terminal|authentication) is required/m,
    'asks for a password, or does not allow it (sudoers has to, with NOPASSWD)',
  ],
  [/^sudo: .*must have a tty/m, 'wants a terminal (`requiretty` in sudoers)'],
  [
    /is not in the sudoers file|^(sudo: )?(Sorry, user|I'm sorry) /m,
    'does not allow it to this user (sudoers has to, with NOPASSWD)',
  ],
  [/^sudo: .*: command not found/m, 'does not find the command (see `secure_path` in sudoers)'],
  [
    /^sudo: .*(no new privileges|setuid)/m,
    'has no rights of root itself (NoNewPrivileges in a unit, or a file system mounted with nosuid)',
  ],
];

/** Why sudo did not run a command, by what it said; undefined when it did run it. */
export function sudoProblem(untrustedComplaint: string): string | undefined {
  const meaning = REFUSALS.find(([words]) => words.test(untrustedComplaint))?.[1];
  if (meaning === undefined) return undefined;
  const words = printable(untrustedComplaint.trim().replace(/\s+/g, ' '), 200);
  return `sudo ${meaning}, and says "${words}"`;
}
