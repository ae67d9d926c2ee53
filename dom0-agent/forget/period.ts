import { dateOf } from '../../shared/local-time.ts';

/** The kinds of periods for which a rule keeps the last backup, in this machine's time zone. */
export const PERIODS = ['daily', 'weekly', 'monthly', 'yearly'] as const;
export type Period = (typeof PERIODS)[number];

/** The name of the period that a time is in: a day `2026-11-25`, the Monday of a week, a month `2026-11`, or a year. */
export function periodOf(time: Date, period: Period): string {
  switch (period) {
    case 'daily':
      return dateOf(time);
    case 'weekly':
      return dateOf(mondayBefore(time));
    case 'monthly':
      return dateOf(time).slice(0, -3);
    case 'yearly':
      return dateOf(time).slice(0, -6);
  }
}

/** A length of time in calendar units. */
export interface Span {
  readonly count: number;
  readonly unit: SpanUnit;
}
type SpanUnit = 'h' | 'd' | 'w' | 'm' | 'y';

/** Parses `36h`, `30d`, `8w`, `6m` (months) or `2y`; undefined for anything else. */
export function parseSpan(text: string): Span | undefined {
  const [, count, unit] = /^([1-9][0-9]{0,3})([hdwmy])$/.exec(text) ?? [];
  return unit === undefined ? undefined : { count: Number(count), unit: unit as SpanUnit };
}

export function formatSpan({ count, unit }: Span): string {
  return `${count}${unit}`;
}

/**
 * The time a span earlier; for spans in days or more, at the same time of day. If that month has no such day, its last
 * day: one month before the 31st of March is the 28th or 29th of February.
 */
export function before(time: Date, { count, unit }: Span): Date {
  const earlier = new Date(time);
  switch (unit) {
    case 'h':
      return new Date(time.getTime() - count * 3_600_000);
    case 'd':
      earlier.setDate(time.getDate() - count);
      return earlier;
    case 'w':
      earlier.setDate(time.getDate() - 7 * count);
      return earlier;
    case 'm':
    case 'y': {
      const months = unit === 'y' ? 12 * count : count;
      earlier.setDate(1);
      earlier.setMonth(time.getMonth() - months);
      earlier.setDate(Math.min(time.getDate(), daysInMonthOf(earlier)));
      return earlier;
    }
  }
}

function mondayBefore(time: Date): Date {
  // At noon, a time that is never skipped by a change to summer time.
  const noon = new Date(time);
  noon.setHours(12, 0, 0, 0);
  noon.setDate(noon.getDate() - ((noon.getDay() + 6) % 7));
  return noon;
}

function daysInMonthOf(time: Date): number {
  const last = new Date(time);
  last.setMonth(time.getMonth() + 1, 0);
  return last.getDate();
}
