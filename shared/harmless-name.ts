/**
 * A file name that may be passed from one VM to another, or to a command: no program takes it for anything but a name,
 * not even a shell that evaluates it again. All file names that coffer generates match.
 */
export const HARMLESS_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;
