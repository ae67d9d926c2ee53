/** System errors in plain words, by code: Node's own messages are for programmers. */
const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission was denied',
  EPERM: 'that is not permitted',
  EROFS: 'the file system is read-only',
  ENOENT: 'there is no such file or directory',
  ENOTDIR: 'a part of the path is not a directory',
  EISDIR: 'it is a directory',
  EEXIST: 'it exists already',
  ENOTEMPTY: 'the directory is not empty',
  ELOOP: 'there is a loop of symbolic links',
  ENAMETOOLONG: 'the name is too long',
  EXDEV: 'it is on another file system',
  ENXIO: 'there is no such device',
  ENODEV: 'there is no such device',
  EIO: 'the disk, or the connection to it, failed',
  ESTALE: 'it no longer exists on the network file system',
  ENOTCONN: 'the file system is no longer connected',
  ENOSPC: 'there is no space left',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file would be too large',
  EBUSY: 'it is in use',
  ETXTBSY: 'it is a program that is running',
  ENOMEM: 'there is not enough memory',
  EMFILE: 'too many files are open',
  ENFILE: 'too many files are open in the whole system',
  EAGAIN: 'the system has too many processes, or too little memory, for another',
  E2BIG: 'the arguments of a program are too long',
  ENOEXEC: 'it is not a program',
  EPIPE: 'the reader has closed the pipe',
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

/** A system error in plain words, without the file; undefined for any other error. */
export function systemWordsOf(error: unknown): string | undefined {
  const code = systemCodeOf(error);
  return code !== undefined && Object.hasOwn(WORDS, code) ? WORDS[code] : undefined;
}

/** The file or program that a system error is about, if known. */
export function subjectOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('path' in error)) return undefined;
  return typeof error.path === 'string' ? error.path : undefined;
}
