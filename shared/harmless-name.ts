/**
 * The name of a file that goes from one VM to another, or to a command: no program takes it for anything but a name, not even
 * a shell that reads it once more. All names that coffer gives are such.
 */
export const HARMLESS_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;
