import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  type LastBackup,
  formatRecord,
  mergeRecords,
  parseRecord,
} from '../../dom0-agent/backup/backup-record.ts';

import { readRecord } from '../../dom0-agent/backup/record-files.ts';
import { otherUser } from '../other-user.ts';

const time = fc.integer({ min: 0, max: 1e11 - 1 });
const check = fc.record({ at: time, result: fc.constantFrom('verified', 'damaged') });
const last: fc.Arbitrary<LastBackup> = fc
  .record(
    { created: time, location: fc.string({ unit: 'grapheme' }), check },
    { requiredKeys: ['created', 'location'] },
  )
  .map((backup) => backup as LastBackup);
const name = fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9_.-]{0,30}$/);
const records = fc.array(fc.tuple(name, last), { maxLength: 50 }).map((all) => new Map(all));

describe('the record of backups', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(records, (record) => {
        expect(parseRecord(formatRecord(record))).toEqual(record);
      }),
    );
  });

  it('is not read if it is cut short, or from any other text', () => {
    const places = fc.nat({ max: 500 });
    fc.assert(
      fc.property(records, places, fc.string(), (record, place, text) => {
        const whole = formatRecord(record);
        for (const damaged of [whole.slice(0, place % whole.length), text]) {
          const parsed = parseRecord(damaged);
          if (damaged.trim() !== whole.trim()) expect(parsed).toBeUndefined();
        }
      }),
    );
  });

  it.each([
    ['', 'an empty text'],
    ['null', 'null'],
    ['{"version":2,"last":{}}', 'a record of another version'],
    ['{"version":1,"last":{"work":{"created":"yesterday","location":"usb"}}}', 'a time in words'],
    ['{"version":1,"last":{"work":{"created":-1,"location":"usb"}}}', 'a time before 1970'],
    ['{"version":1,"last":{"work":{"created":1}}}', 'a backup without a location'],
    [
      '{"version":1,"last":{"work":{"created":1,"location":"usb","check":{"at":1,"result":"fine"}}}}',
      'a check with an unknown result',
    ],
    ['{"version":1,"last":[]}', 'a list'],
  ])('is not read from %s: %s', (text) => {
    expect(parseRecord(text)).toBeUndefined();
  });

  it('holds 2000 backups at most, and drops the oldest ones', () => {
    const all = Array.from({ length: 2500 }, (_, at): [string, LastBackup] => [
      `vm${at}`,
      { created: at, location: 'usb' },
    ]);
    const kept = parseRecord(formatRecord(new Map(all)));
    expect(kept?.size).toBe(2000);
    expect(kept?.has('vm2499')).toBe(true);
    expect(kept?.has('vm0')).toBe(false);
  });

  it('merged from two files has the newer backup of each VM, and the later check of each backup', () => {
    const older = { created: 1, location: 'old' };
    const newer = { created: 2, location: 'new' };
    const checked = { ...newer, check: { at: 3, result: 'verified' } } as const;
    for (const [one, other, expected] of [
      [older, newer, newer],
      [newer, older, newer],
      [newer, checked, checked],
      [checked, newer, checked],
    ] as const) {
      const merged = mergeRecords(new Map([['work', one]]), new Map([['work', other]]));
      expect(merged.get('work')).toBe(expected);
    }
  });
});

it('a record that this user may not read is reported, since backups may seem not to have been made', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-record-'));
  chmodSync(directory, 0o755);
  const ofRoot = join(directory, 'root', 'backups.json');
  mkdirSync(join(directory, 'root'));
  writeFileSync(ofRoot, formatRecord(new Map([['work', { created: 1, location: 'usb:/a' }]])));
  chmodSync(join(directory, 'root'), otherUser.uid === undefined ? 0 : 0o700);
  process.seteuid?.(otherUser.uid ?? process.geteuid?.() ?? 0);
  onTestFinished(() => {
    if (otherUser.uid !== undefined) process.seteuid?.(0);
    chmodSync(join(directory, 'root'), 0o700);
    rmSync(directory, { recursive: true });
  });
  const warnings: string[] = [];
  const files = { own: join(directory, 'own', 'backups.json'), others: [ofRoot] };
  const record = await readRecord(files, (text) => warnings.push(text));
  expect(record.size).toBe(0);
  expect(warnings.join()).toMatch(/root\/backups\.json, cannot be read: permission was denied/);
});
