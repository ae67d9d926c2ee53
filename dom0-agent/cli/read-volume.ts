import { stdin, stdout } from 'node:process';
import { ExitStatus } from '../../shared/errors.ts';
import { serveImage } from '../qubes/pools/root-reader-server.ts';

/**
 * The hidden `coffer read-volume`: coffer starts itself again, through sudo, to read one volume that only
 * root may read. With `--unsearched`, it does not search for data: the caller knows where it is. Returns the exit
 * status.
 */
export async function readVolumeCommand(
  path: string,
  label: string,
  { unsearched }: { readonly unsearched?: boolean },
): Promise<number> {
  await serveImage(path, label, stdin, stdout, unsearched === true ? [] : undefined);
  stdin.destroy();
  return ExitStatus.done;
}
