const KiB = 1024;
const MiB = 1024 * KiB;

/** The version of the protocol that this code speaks. The only one so far. */
export const PROTOCOL_VERSION = 1;

/** The longest payload of one Data message, in bytes. */
export const LONGEST_DATA = MiB;

/** The longest frame without its length prefix, in bytes: a full Data message with some room to spare. */
export const LONGEST_FRAME = LONGEST_DATA + 64 * KiB;

/** The most bytes that may be outstanding in a Fetch: credit of a stream, wanted ranges of files. */
export const MOST_CREDIT = 64 * MiB;

/** The most requests, Open and Want, that may be outstanding in a Fetch of files. */
export const MOST_REQUESTS = 1_024;

/** The most files that may be open at a time; handles are below this number. */
export const MOST_HANDLES = 256;

/** The most entries of one listing. */
export const MOST_ENTRIES = 10_000;

/** The longest name in a listing, in characters. File systems and clouds have at most 1,024 bytes. */
export const LONGEST_NAME = 1_024;

/** The most entries of one Entries message that this code sends. */
export const ENTRIES_PER_MESSAGE = 1_000;

/** The most names of one DeleteRequest. */
export const MOST_NAMES = 1_000;

/** How often the VM agent sends Progress, in milliseconds. */
export const PROGRESS_INTERVAL = 1_000;

/** How many Progress messages are accepted in a burst. */
export const PROGRESS_BURST = 100;

/** How many more Progress messages are accepted for each second that passes. */
export const PROGRESS_PER_SECOND = 10;
