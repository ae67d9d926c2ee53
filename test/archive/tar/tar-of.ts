import { OuterTarWriter } from '../../../dom0-agent/archive/tar/outer-writer.ts';
import { MemoryOutput } from '../memory.ts';

/** A valid outer tar of these members. */
export async function tarOf(members: Iterable<readonly [string, Buffer]>): Promise<Buffer> {
  const output = new MemoryOutput();
  const tar = new OuterTarWriter(output);
  for (const [name, content] of members) await tar.member(name, content);
  await tar.end();
  return output.bytes;
}
