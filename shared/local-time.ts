/**
 * A time for people: `2026-11-23 09:13:01 UTC+01:00`, in the zone of this machine. Formatted without Intl, whose
 * output depends on the locale and on Node's version of ICU.
 */
export function formatTime(time: Date): string {
  return `${dateOf(time)} ${clockOf(time).join(':')} ${zoneOf(time)}`;
}

/** The same for tables, to the minute: `2026-11-23 09:13`. */
export function formatMinute(time: Date): string {
  return `${dateOf(time)} ${clockOf(time).slice(0, 2).join(':')}`;
}

/** The same for file names, which should not contain colons: `2026-11-23T091301`. */
export function timeInName(time: Date): string {
  return `${dateOf(time)}T${clockOf(time).join('')}`;
}

/** The day: `2026-11-23`. */
export function dateOf(time: Date): string {
  const year = time.getFullYear().toString().padStart(4, '0');
  return [year, twoDigits(time.getMonth() + 1), twoDigits(time.getDate())].join('-');
}

function clockOf(time: Date): string[] {
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map(twoDigits);
}

/** `UTC`, or the zone's offset from it at that time: `UTC-03:30`. */
function zoneOf(time: Date): string {
  const ahead = -Math.round(time.getTimezoneOffset());
  if (ahead === 0) return 'UTC';
  const minutes = Math.abs(ahead);
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60].map(twoDigits);
  return `UTC${ahead < 0 ? '-' : '+'}${hours}:${rest}`;
}

function twoDigits(number: number): string {
  return number.toString().padStart(2, '0');
}
