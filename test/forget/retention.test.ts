import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { before, parseSpan, periodOf } from '../../dom0-agent/forget/period.ts';
import {
  type DatedBackup,
  type RetentionRules,
  applyRetention,
} from '../../dom0-agent/forget/retention.ts';
import { RefusedError } from '../../shared/errors.ts';

const usualZone = process.env['TZ'];

afterEach(() => {
  if (usualZone === undefined) delete process.env['TZ'];
  else process.env['TZ'] = usualZone;
});

const NOW = new Date('2031-01-01T00:00:00Z');
const span = (text: string) => {
  const parsed = parseSpan(text);
  if (parsed === undefined) throw new Error(`${text} is not a span of time`);
  return parsed;
};

/** Backups of one VM, made at these times, in this order. */
function backups(...times: readonly string[]): DatedBackup[] {
  return times.map((time, i) => ({
    name: time,
    sequence: i + 1,
    made: new Date(time),
    subjects: ['work'],
  }));
}

/** The names of those that are kept. */
function kept(all: readonly DatedBackup[], rules: RetentionRules, now = NOW): string[] {
  return applyRetention(all, rules, now)
    .filter(({ reasons }) => reasons.length > 0)
    .map(({ backup }) => backup.name);
}

describe('the rules of retention:', () => {
  const days = backups(
    '2026-11-20T08:00:00Z',
    '2026-11-20T20:00:00Z',
    '2026-11-22T08:00:00Z',
    '2026-11-25T08:00:00Z',
    '2026-11-25T12:00:00Z',
    '2026-11-25T20:00:00Z',
  );

  it('last keeps that many of the newest backups', () => {
    expect(kept(days, { last: 2 })).toEqual(['2026-11-25T12:00:00Z', '2026-11-25T20:00:00Z']);
    expect(kept(days, { last: 100 })).toHaveLength(6);
  });

  it('daily keeps the last backup of each of that many days on which there is one', () => {
    process.env['TZ'] = 'UTC';
    expect(kept(days, { daily: 2 })).toEqual(['2026-11-22T08:00:00Z', '2026-11-25T20:00:00Z']);
    expect(kept(days, { daily: 9 })).toEqual([
      '2026-11-20T20:00:00Z',
      '2026-11-22T08:00:00Z',
      '2026-11-25T20:00:00Z',
    ]);
  });

  it('weekly uses weeks from Monday to Sunday, also across the end of a year', () => {
    process.env['TZ'] = 'UTC';
    const weeks = backups(
      '2026-12-27T23:59:59Z',
      '2026-12-28T00:00:00Z',
      '2027-01-01T12:00:00Z',
      '2027-01-03T23:59:59Z',
      '2027-01-04T00:00:00Z',
    );
    expect(kept(weeks, { weekly: 9 })).toEqual([
      '2026-12-27T23:59:59Z',
      '2027-01-03T23:59:59Z',
      '2027-01-04T00:00:00Z',
    ]);
  });

  it('monthly and yearly keep the last backup of each month and year', () => {
    process.env['TZ'] = 'UTC';
    const months = backups(
      '2027-12-31T23:59:59Z',
      '2028-01-01T00:00:00Z',
      '2028-02-28T12:00:00Z',
      '2028-02-29T12:00:00Z',
      '2028-03-01T12:00:00Z',
    );
    expect(kept(months, { monthly: 2 })).toEqual(['2028-02-29T12:00:00Z', '2028-03-01T12:00:00Z']);
    expect(kept(months, { yearly: 2 })).toEqual(['2027-12-31T23:59:59Z', '2028-03-01T12:00:00Z']);
  });

  it('within keeps the backups of that time before the newest backup, not before today', () => {
    process.env['TZ'] = 'UTC';
    expect(kept(days, { within: span('12h') })).toHaveLength(3);
    expect(kept(days, { within: span('3d') })).toHaveLength(3);
    expect(kept(days, { within: span('4d') })).toHaveLength(4);
    expect(kept(days, { within: span('1w') })).toHaveLength(6);
  });

  it('a backup is kept if any rule keeps it, and each such rule is named', () => {
    process.env['TZ'] = 'UTC';
    const verdicts = applyRetention(days, { last: 1, daily: 1, within: span('1d') }, NOW);
    expect(verdicts.map(({ reasons }) => reasons)).toEqual([
      [],
      [],
      [],
      ['within 1d'],
      ['within 1d'],
      ['last', 'daily', 'within 1d'],
    ]);
  });

  it('a day ends at midnight in the local time zone', () => {
    const nightly = backups('2026-11-24T10:30:00Z', '2026-11-24T22:30:00Z', '2026-11-25T01:00:00Z');
    process.env['TZ'] = 'UTC';
    expect(kept(nightly, { daily: 9 })).toEqual(['2026-11-24T22:30:00Z', '2026-11-25T01:00:00Z']);
    process.env['TZ'] = 'Europe/Berlin';
    expect(kept(nightly, { daily: 9 })).toEqual(['2026-11-24T22:30:00Z', '2026-11-25T01:00:00Z']);
    process.env['TZ'] = 'Pacific/Kiritimati';
    expect(kept(nightly, { daily: 9 })).toEqual(['2026-11-25T01:00:00Z']);
    process.env['TZ'] = 'America/Los_Angeles';
    expect(kept(nightly, { daily: 9 })).toEqual(['2026-11-25T01:00:00Z']);
  });

  it('a day may have 23 or 25 hours', () => {
    process.env['TZ'] = 'Europe/Berlin';
    const spring = backups('2026-03-28T22:59:59Z', '2026-03-28T23:00:00Z', '2026-03-29T21:59:59Z');
    expect(kept(spring, { daily: 9 })).toEqual(['2026-03-28T22:59:59Z', '2026-03-29T21:59:59Z']);
    const autumn = backups('2026-10-24T22:00:00Z', '2026-10-25T22:59:59Z', '2026-10-25T23:00:00Z');
    expect(kept(autumn, { daily: 9 })).toEqual(['2026-10-25T22:59:59Z', '2026-10-25T23:00:00Z']);
  });
});

describe('the rules of retention for several VMs', () => {
  const make = (name: string, sequence: number, ...subjects: string[]): DatedBackup => ({
    name,
    sequence,
    made: new Date(Date.UTC(2026, 0, sequence)),
    subjects,
  });

  it('are applied to each VM separately: a backup without it does not count for it', () => {
    const all = [
      make('both', 1, 'work', 'vault'),
      make('vault', 2, 'vault'),
      make('work', 3, 'work'),
      make('work again', 4, 'work'),
    ];
    expect(kept(all, { last: 1 })).toEqual(['vault', 'work again']);
    expect(kept(all, { last: 2 })).toEqual(['both', 'vault', 'work', 'work again']);
  });
});

describe('the times of backups', () => {
  it('are refused if one is in the future', () => {
    const all = backups('2026-11-25T08:00:00Z', '2026-11-26T08:00:00Z');
    const now = new Date('2026-11-26T07:59:59Z');
    expect(() => kept(all, { last: 1 }, now)).toThrow(RefusedError);
    expect(() => kept(all, { last: 1 }, now)).toThrow('in the future');
  });

  it('are refused if they are not in the order of the series', () => {
    const all = backups('2026-11-25T08:00:00Z', '2026-11-24T08:00:00Z', '2026-11-26T08:00:00Z');
    expect(() => kept(all, { last: 1 })).toThrow('it is unclear which backups are old');
    expect(() => kept([...all].reverse(), { last: 1 })).toThrow(RefusedError);
  });

  it('may be equal, and may be in any order for two backups with the same number', () => {
    const same = backups('2026-11-25T08:00:00Z', '2026-11-25T08:00:00Z');
    expect(kept(same, { last: 1 })).toHaveLength(1);
    const two = backups('2026-11-25T09:00:00Z', '2026-11-25T08:00:00Z');
    const fork = two.map((backup) => ({ ...backup, sequence: 7 }));
    expect(kept(fork, { last: 1 })).toEqual(['2026-11-25T09:00:00Z']);
  });
});

describe('a span of time', () => {
  it.each([
    ['1m', '2026-03-31T12:00:00Z', '2026-02-28T12:00:00Z'],
    ['1m', '2028-03-31T12:00:00Z', '2028-02-29T12:00:00Z'],
    ['1m', '2026-01-15T12:00:00Z', '2025-12-15T12:00:00Z'],
    ['1y', '2028-02-29T12:00:00Z', '2027-02-28T12:00:00Z'],
    ['4y', '2028-02-29T12:00:00Z', '2024-02-29T12:00:00Z'],
    ['100y', '2026-11-25T12:00:00Z', '1926-11-25T12:00:00Z'],
    ['2w', '2026-03-01T12:00:00Z', '2026-02-15T12:00:00Z'],
    ['366d', '2028-12-31T12:00:00Z', '2027-12-31T12:00:00Z'],
    ['36h', '2026-03-01T00:00:00Z', '2026-02-27T12:00:00Z'],
  ])('of %s before %s is %s', (text, time, expected) => {
    process.env['TZ'] = 'UTC';
    expect(before(new Date(time), span(text)).toISOString()).toBe(new Date(expected).toISOString());
  });

  it('of days ends at the same local time of day if the clocks were changed in between', () => {
    process.env['TZ'] = 'Europe/Berlin';
    const earlier = before(new Date('2026-03-30T10:00:00Z'), span('7d'));
    expect(earlier.toISOString()).toBe('2026-03-23T11:00:00.000Z');
  });

  it.each(['', '0d', '1', 'd', '-1d', '1.5d', '1D', '1d ', '12345d', '1d2h', '٣d'])(
    'is not %j',
    (text) => expect(parseSpan(text)).toBeUndefined(),
  );
});

describe('for any backups and rules,', () => {
  const start = Date.UTC(2020, 0, 1) / 1000;
  const series = fc
    .array(
      fc.record({
        gap: fc.nat(40 * 86_400),
        subjects: fc.subarray(['a', 'b', 'c'], { minLength: 1 }),
      }),
      { maxLength: 60 },
    )
    .map((steps) => {
      let seconds = start;
      return steps.map(({ gap, subjects }, i): DatedBackup => {
        seconds += gap;
        return { name: `b${i}`, sequence: i + 1, made: new Date(seconds * 1000), subjects };
      });
    });
  const count = fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined });
  const rules: fc.Arbitrary<RetentionRules> = fc.record({
    last: count,
    daily: count,
    weekly: count,
    monthly: count,
    yearly: count,
    within: fc.option(fc.constantFrom('12h', '30d', '8w', '6m', '2y').map(span), {
      nil: undefined,
    }),
  });
  const zone = fc.constantFrom('UTC', 'Europe/Berlin', 'America/St_Johns', 'Pacific/Kiritimati');
  const check = (predicate: (all: DatedBackup[], chosen: RetentionRules) => void): void =>
    fc.assert(
      fc.property(series, rules, zone, (all, chosen, where) => {
        process.env['TZ'] = where;
        predicate(all, chosen);
      }),
    );
  const isRule = (chosen: RetentionRules): boolean =>
    Object.values(chosen).some((rule) => rule !== undefined);

  it('the newest backup of each VM is kept', () => {
    check((all, chosen) => {
      if (!isRule(chosen)) return;
      const names = kept(all, chosen);
      for (const subject of ['a', 'b', 'c']) {
        const newest = all.filter(({ subjects }) => subjects.includes(subject)).at(-1);
        if (newest !== undefined) expect(names).toContain(newest.name);
      }
    });
  });

  it('a backup is still kept with one more rule or a larger number', () => {
    check((all, chosen) => {
      const more = { ...chosen, last: (chosen.last ?? 0) + 1, monthly: (chosen.monthly ?? 0) + 1 };
      expect(kept(all, more)).toEqual(expect.arrayContaining(kept(all, chosen)));
    });
  });

  it('a backup is still kept after the others are deleted', () => {
    check((all, chosen) => {
      const names = kept(all, chosen);
      const rest = all.filter(({ name }) => names.includes(name));
      expect(kept(rest, chosen)).toEqual(names);
    });
  });

  it('the order in which the backups are given makes no difference', () => {
    check((all, chosen) => expect(kept([...all].reverse(), chosen)).toEqual(kept(all, chosen)));
  });

  it('daily keeps exactly the last backup of each of the newest days', () => {
    check((all, { daily = 3 }) => {
      const single = all.map((backup) => ({ ...backup, subjects: ['a'] }));
      const days = [...new Set(single.map(({ made }) => periodOf(made, 'daily')))].slice(-daily);
      const expected = days.map(
        (day) => single.filter(({ made }) => periodOf(made, 'daily') === day).at(-1)?.name,
      );
      expect(kept(single, { daily })).toEqual(expected);
    });
  });
});
