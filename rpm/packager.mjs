/** The packager, where a package format asks for one. */
export const PACKAGER = 'The coffer project <coffer@qubes-coffer.invalid>';
export const PROJECT_URL = 'https://www.qubes-os.org/doc/how-to-back-up-restore-and-migrate/';
