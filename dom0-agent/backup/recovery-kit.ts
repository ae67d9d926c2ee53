import page from '../../docs/recovery.md';
import script from '../../recover.sh';
import type { Storage, StoredArchive } from '../transport/storage.ts';

/**
 * Stores recover.sh, and the page that explains how to recover a backup by hand, next to a backup, for
 * `coffer backup --with-recovery`. Returns both as they were stored; show the user their SHA-256, since whoever
 * can change the backup can change these as well.
 *
 * They are named after the backup, `<backup>.recover.sh` and `<backup>.recovery.md`: each backup thus keeps
 * the kit of the coffer that made it, nothing that exists is replaced or trusted, and `rm <backup>*`
 * removes the kit as well.
 *
 * Call it when the backup itself is stored: the backup remains complete, whatever happens here.
 *
 * @param directory the directory of the backup, as it was given to `openSink`
 * @throws RefusedError, StorageError, or the reason of the signal
 */
export async function storeRecoveryKit(
  storage: Storage,
  directory: string,
  backupName: string,
  signal: AbortSignal,
): Promise<StoredArchive[]> {
  const files = [
    { fileName: `${backupName}.recover.sh`, text: script },
    { fileName: `${backupName}.recovery.md`, text: page },
  ];
  const stored: StoredArchive[] = [];
  for (const { fileName, text } of files) {
    stored.push(await storeText(storage, { directory, fileName }, text, signal));
  }
  return stored;
}

async function storeText(
  storage: Storage,
  target: { readonly directory: string; readonly fileName: string },
  text: string,
  signal: AbortSignal,
): Promise<StoredArchive> {
  const bytes = Buffer.from(text);
  await using sink = await storage.openSink(target, bytes.length, signal);
  await sink.write(bytes);
  return await sink.finish();
}
