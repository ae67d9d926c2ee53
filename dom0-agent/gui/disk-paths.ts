/** Where disks are mounted: by udisks, or by hand. */
const MOUNTED = /^\/(run\/media|media|mnt)\//;

/** Whether a directory, as a VM names it, is likely to be on a disk that can be unplugged. */
export function isOnDisk(directory: string): boolean {
  return MOUNTED.test(directory);
}
