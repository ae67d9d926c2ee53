/** What the errors of the operating system mean, for people: Node's own words are for programmers. */
const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission was denied',
  EPERM: 'that is not permitted',
  EROFS: 'the file system is read-only',
  ENOENT: 'there is no such file or directory',
  ENOTDIR: 'what should be a directory on the way to it is none',
  EISDIR: 'it is a directory',
  EEXIST: 'it exists already',
  ENOTEMPTY: 'the directory is not empty',
  ELOOP: 'symbolic links lead in a circle',
  ENAMETOOLONG: 'the name is too long',
  EXDEV: 'it is on another file system',
  ENXIO: 'there is no device behind it',
  ENODEV: 'there is no device behind it',
  EIO: 'the disk, or the connection to it, failed',
  ESTALE: 'the network file system has lost it',
  ENOTCONN: 'the file system behind it is not connected any more',
  ENOSPC: 'there is no space left',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'a file may not become so large there',
  EBUSY: 'it is in use',
  ETXTBSY: 'it is a program that is running',
  ENOMEM: 'there is not enough memory',
  EMFILE: 'too many files are open',
  ENFILE: 'too many files are open in the whole system',
  EAGAIN: 'the system has too many processes, or too little memory, for another',
  E2BIG: 'too many words were given to a program',
  ENOEXEC: 'it is not a program',
  EPIPE: 'nobody reads any more what is written',
  EINVAL: 'the file system cannot do that',
  ENOTSUP: 'the file system cannot do that',
  EOPNOTSUPP: 'the file system cannot do that',
  ENOSYS: 'the system cannot do that',
  ECONNREFUSED: 'nothing answers there',
  ECONNRESET: 'the connection broke off',
  ETIMEDOUT: 'it took too long',
};

/** The code of a system error (`ENOENT`, `ENOSPC`, …), if that is what was thrown. */
export function systemCodeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** A system error in plain words, without what it is about; undefined for any other error. */
export function systemWordsOf(error: unknown): string | undefined {
  const code = systemCodeOf(error);
  return code !== undefined && Object.hasOwn(WORDS, code) ? WORDS[code] : undefined;
}

/** The file or program that a system error is about, if it tells. */
export function subjectOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('path' in error)) return undefined;
  return typeof error.path === 'string' ? error.path : undefined;
}
