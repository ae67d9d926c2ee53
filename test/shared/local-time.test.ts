import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { formatTime, timeInName } from '../../shared/local-time.ts';

const usualZone = process.env['TZ'];

afterEach(() => {
  if (usualZone === undefined) delete process.env['TZ'];
  else process.env['TZ'] = usualZone;
});

describe('a shown time', () => {
  it.each([
    ['UTC', '2026-03-01T09:05:03Z', '2026-03-01 09:05:03 UTC'],
    ['UTC', '2026-12-31T00:00:00Z', '2026-12-31 00:00:00 UTC'],
    ['Europe/Berlin', '2026-03-29T00:59:59Z', '2026-03-29 01:59:59 UTC+01:00'],
    ['Europe/Berlin', '2026-03-29T01:00:00Z', '2026-03-29 03:00:00 UTC+02:00'],
    ['America/St_Johns', '2026-01-01T00:00:00Z', '2025-12-31 20:30:00 UTC-03:30'],
    ['Asia/Kathmandu', '2026-12-31T18:15:09Z', '2027-01-01 00:00:09 UTC+05:45'],
    ['Africa/Monrovia', '0476-09-04T09:00:00Z', expect.stringMatching(/^0476-09-04 08:1\d:\d\d /)],
  ])('in %s is for %s the text "%s"', (zone, time, text) => {
    process.env['TZ'] = zone;
    expect(formatTime(new Date(time))).toEqual(text);
  });

  it.each(['UTC', 'Europe/Berlin', 'America/St_Johns', 'Asia/Kathmandu', 'Pacific/Kiritimati'])(
    'in %s identifies every second',
    (zone) => {
      process.env['TZ'] = zone;
      const noInvalidDate = { noInvalidDate: true };
      const since1970 = { min: new Date(0), max: new Date('2999-01-01'), ...noInvalidDate };
      fc.assert(
        fc.property(fc.date(since1970), (time) => {
          const text = formatTime(time);
          const iso =
            text.replace(' ', 'T').replace(' UTC', '') + (text.endsWith('UTC') ? 'Z' : '');
          expect(new Date(iso).getTime()).toBe(Math.floor(time.getTime() / 1000) * 1000);
          expect(timeInName(time)).toBe(text.slice(0, 19).replace(' ', 'T').replaceAll(':', ''));
        }),
      );
    },
  );
});
