import { countOf } from './count-of.ts';
import { formatMinute } from '../../shared/local-time.ts';
import { printable } from '../../shared/printable.ts';
import { shortSeriesId } from '../backup/series-card.ts';
import { allCheckedSince } from '../backup/series-checks.ts';
import type { SeriesFile, SeriesState } from '../backup/series-state.ts';
import type { Qube } from '../qubes/qube.ts';

const HOUR = 60 * 60 * 1000;
const DAY = 24 * HOUR;

/** The status of a series. */
export interface SeriesStatus {
  readonly state: SeriesState;
  /** Its newest backup; undefined if there are no more backups. */
  readonly newest: SeriesFile | undefined;
  /** How old the newest backup is, in ms. */
  readonly age: number;
  /** Whether another backup should be made. */
  readonly isDue: boolean;
  /** Since when, in seconds since 1970, every file has been checked at least once; undefined if some never were. */
  readonly checkedSince: number | undefined;
  readonly damaged: readonly SeriesFile[];
}

/** The status of each series at the time `now`; a backup is due if the last one is more than `days` old. */
export function seriesStatus(
  states: readonly SeriesState[],
  now: Date,
  days: number,
): SeriesStatus[] {
  return states.map((state) => {
    const newest = state.files.findLast(({ kind }) => kind === 'backup');
    const age = now.getTime() - timeOf(newest?.made ?? 0).getTime();
    return {
      ...{ state, newest, age, isDue: age > days * DAY || age < -DAY },
      checkedSince: allCheckedSince(state, now),
      damaged: state.files.filter(({ check }) => check?.result === 'damaged'),
    };
  });
}

/** The VMs of which no series has a map, and so no volume. */
export function inNoSeries(qubes: readonly Qube[], states: readonly SeriesState[]): Qube[] {
  const backedUp = new Set(
    states.flatMap(({ maps }) => Array.from(maps.keys(), (origin) => origin.split('/')[0])),
  );
  return qubes.filter(
    ({ qubeClass, uuid, name }) => qubeClass !== 'AdminVM' && !backedUp.has(uuid ?? name),
  );
}

/**
 * `The 3 backups in sys-usb:/home/user/backups: the last 20 h ago; every file has been checked since 2026-11-20 18:29.`
 * If others of `all` are in the same place, the series is named.
 */
export function describeSeriesStatus(status: SeriesStatus, all: readonly SeriesStatus[]): string {
  const { state, newest, age, isDue, checkedSince, damaged } = status;
  const backups = state.files.filter(({ kind }) => kind === 'backup').length;
  if (newest === undefined) {
    return `No backup in ${printable(state.place)}, only data that an interrupted one had sent.`;
  }
  const what = backups === 1 ? 'backup' : `${backups} backups`;
  const last = `the last ${ageOf(age)}${age < 0 ? '' : ' ago'}${isDue ? ', so another one is due' : ''}`;
  const checked =
    checkedSince === undefined
      ? 'not all files have been checked'
      : `every file has been checked since ${formatMinute(timeOf(checkedSince))}`;
  const found = damaged.length === 0 ? '' : `, ${damaged.length} of them found damaged`;
  const isAlone = all.every((other) => other === status || other.state.place !== state.place);
  const which = isAlone ? '' : ` (series ${shortSeriesId(state.head.seriesId)})`;
  return `The ${what} in ${printable(state.place)}${which}: ${last}; ${checked}${found}.`;
}

/** The status of a series, for programs: docs/json.md. */
export function seriesForPrograms(status: SeriesStatus) {
  const { state, newest, isDue, checkedSince, damaged } = status;
  const { files, head, place, last } = state;
  return {
    ...{ series: head.seriesId, location: place, sequence: last.sequence },
    backups: files.filter(({ kind }) => kind === 'backup').length,
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    created: newest && timeOf(newest.made).toISOString(),
    isDue,
    checkedSince: checkedSince === undefined ? undefined : timeOf(checkedSince).toISOString(),
    damaged: damaged.map(({ fileName }) => printable(fileName)),
  };
}

/** `20 h`, `3 days` */
export function ageOf(milliseconds: number): string {
  if (milliseconds < 0) return 'in the future';
  const hours = Math.floor(milliseconds / HOUR);
  return hours < 48 ? `${hours} h` : daysOf(Math.floor(hours / 24));
}

export function daysOf(days: number): string {
  return countOf(days, 'day');
}

function timeOf(seconds: number): Date {
  return new Date(1000 * seconds);
}
