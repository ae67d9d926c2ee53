import prettyBytes from 'pretty-bytes';

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;

/** A number of bytes for people: `11.3 MiB`. */
export function formatSize(bytes: number): string {
  return prettyBytes(bytes, { binary: true });
}
