import { readFile, readdir } from 'node:fs/promises';
import { countBits } from '../../dom0-agent/archive/coffer1/chunk-mask.ts';
import { openWholeSeries } from '../../dom0-agent/archive/coffer1/whole-series.ts';
import { planPrune } from '../../dom0-agent/forget/plan-prune.ts';
import { Dom0Storage } from '../../dom0-agent/transport/dom0-storage.ts';

/**
 * How many of the stored bytes in a directory its backups need: for each part, the share of the chunks that are needed.
 */
export async function liveBytesIn(directory: string, passphraseFile: string): Promise<number> {
  const { signal } = new AbortController();
  const [line = ''] = (await readFile(passphraseFile, 'utf8')).split('\n');
  await using files = await new Dom0Storage().openFiles(directory, signal);
  const names = await readdir(directory);
  const { series } = await openWholeSeries(files, names, Buffer.from(line), signal);
  let bytes = 0;
  for (const each of series) {
    const { files: all, live } = await planPrune(
      each,
      { last: names.length },
      new Date(),
      new Set(),
    );
    for (const { backupId, parts } of all) {
      for (const { size, mask, bornIn, number } of parts) {
        const needed = live.of(bornIn ?? backupId, number) & mask;
        if (mask !== 0) bytes += (size * countBits(needed >>> 0)) / countBits(mask);
      }
    }
  }
  return bytes;
}
