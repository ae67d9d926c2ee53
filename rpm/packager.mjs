/** Who the packages are from, where their formats ask for it. */
export const PACKAGER = 'The coffer project <coffer@qubes-coffer.invalid>';
export const PROJECT_URL = 'https://www.qubes-os.org/doc/how-to-back-up-restore-and-migrate/';
