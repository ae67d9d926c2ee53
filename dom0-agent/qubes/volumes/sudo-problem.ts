import { printable } from '../../../shared/printable.ts';

/** What sudo, or the sudo written in Rust, says when it does not run a command, and what helps. */
const REFUSALS: readonly (readonly [words: RegExp, meaning: string])[] = [
  [
    /^sudo: .*(password|terminal|authentication) is required/m,
    'it asks for a password: allow commands without one in sudoers (NOPASSWD), or run coffer as root',
  ],
  [
    /^sudo: .*must have a tty/m,
    'it wants a terminal: take `requiretty` out of sudoers, or run coffer as root',
  ],
  [
    /is not in the sudoers file|^(sudo: )?(Sorry, user|I'm sorry) /m,
    'sudoers does not allow this to the user: change that, or run coffer as root',
  ],
  [/^sudo: .*: command not found/m, 'it does not find the command: see `secure_path` in sudoers'],
  [
    /^sudo: .*(no new privileges|setuid)/m,
    'it has no rights of root itself: a unit with NoNewPrivileges, or a file system mounted with nosuid',
  ],
];

/** Why sudo did not run a command, by what it said; undefined when it did run it. */
export function sudoProblem(untrustedComplaint: string): string | undefined {
  const meaning = REFUSALS.find(([words]) => words.test(untrustedComplaint))?.[1];
  if (meaning === undefined) return undefined;
  const words = printable(untrustedComplaint.trim().replace(/\s+/g, ' '));
  return `sudo fails, since ${meaning} (${words})`;
}
