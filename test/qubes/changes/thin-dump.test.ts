import { describe, expect, it } from 'vitest';

import type { Mapping } from '../../../dom0-agent/qubes/changes/mapping.ts';
import { ThinDump } from '../../../dom0-agent/qubes/changes/thin-dump.ts';
import { FailedError } from '../../../shared/errors.ts';

/** Output of thin_dump 0.9.0 for a device on Linux 6.1, one block of which was written after a snapshot. */
const DUMP = `<superblock uuid="" time="2" transaction="3" flags="0" version="2" data_block_size="128" nr_data_blocks="0">
  <device dev_id="1" mapped_blocks="160" transaction="0" creation_time="0" snap_time="2">
    <range_mapping origin_begin="0" data_begin="0" length="3" time="0"/>
    <single_mapping origin_block="3" data_block="160" time="2"/>
    <range_mapping origin_begin="4" data_begin="4" length="156" time="0"/>
  </device>
</superblock>
`;

async function read(printed: string): Promise<{ dump: ThinDump; mappings: Mapping[] }> {
  async function* run(program: string, args: readonly string[]) {
    expect([program, ...args].join(' ')).toBe('thin_dump --metadata-snap --dev-id=1 /dev/m');
    for (const line of printed.split('\n')) yield await Promise.resolve([line]);
  }
  const dump = new ThinDump(run, '/dev/m', 1);
  const mappings: Mapping[] = [];
  for await (const batch of dump.mappings()) mappings.push(...batch);
  return { dump, mappings };
}

const UNIT = 65_536;

describe('the output of thin_dump for a device', () => {
  it('is read as mappings in bytes, with their times, and the state of the pool', async () => {
    const { dump, mappings } = await read(DUMP);
    const mapping = (first: number, place: number, count: number, stamp: number): Mapping => ({
      ...{ offset: first * UNIT, length: count * UNIT, place: place * UNIT, stamp },
    });
    expect(mappings).toEqual([mapping(0, 0, 3, 0), mapping(3, 160, 1, 2), mapping(4, 4, 156, 0)]);
    expect(dump.pool).toEqual({ time: 2, transaction: 3, blockSize: UNIT });
    expect(dump.device).toEqual({ id: 1, mappedBlocks: 160, transaction: 0, creationTime: 0 });
  });

  it('has no device if that does not exist, although thin_dump does not fail', async () => {
    const { dump, mappings } = await read(DUMP.replace(/ {2}<device.*<\/device>\n/s, ''));
    expect(mappings).toEqual([]);
    expect(dump.device).toBeUndefined();
    expect(dump.pool.transaction).toBe(3);
  });

  it.each([
    ['cut short', DUMP.slice(0, DUMP.indexOf('</superblock>'))],
    ['empty', ''],
    ['without a mapping that it counts', DUMP.replace(/.*single_mapping.*\n/, '')],
    ['with a mapping twice', DUMP.replace(/(.*single_mapping.*\n)/, '$1$1')],
    ['of two devices', DUMP.replace(/( {2}<device.*<\/device>\n)/s, '$1$1')],
    [
      'with mappings that are defined elsewhere',
      DUMP.replace(/ {4}<single.*/, '    <ref name="1"/>'),
    ],
    ['of an unknown version', DUMP.replace('version="2"', 'version="3"')],
    ['with an impossible block size', DUMP.replace('data_block_size="128"', 'data_block_size="1"')],
    [
      'with a number that is too large',
      DUMP.replace('data_begin="4"', 'data_begin="4444444444444444"'),
    ],
    ['with a length of 0', DUMP.replace('length="3"', 'length="0"')],
    ['with mappings before a device', DUMP.replace(/ {2}<device.*\n/, '')],
    ['with a word in place of a number', DUMP.replace('time="2" ', 'time="soon" ')],
  ])('is refused if it is %s', async (_, printed) => {
    expect(printed).not.toBe(DUMP);
    await expect(read(printed).then(({ dump }) => dump.pool)).rejects.toThrow(FailedError);
  });
});
