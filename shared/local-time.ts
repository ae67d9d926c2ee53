/**
 * A time for people: `2026-11-23 09:13:01 UTC+01:00`, in the zone of this machine. It is put together
 * from digits, since what Intl makes of a date depends on the locale and on Node's edition of ICU.
 */
export function formatTime(time: Date): string {
  return `${dateOf(time)} ${clockOf(time).join(':')} ${zoneOf(time)}`;
}

/** The same in the names of files, which a colon has no place in: `2026-11-23T091301`. */
export function timeInName(time: Date): string {
  return `${dateOf(time)}T${clockOf(time).join('')}`;
}

function dateOf(time: Date): string {
  const year = time.getFullYear().toString().padStart(4, '0');
  return [year, twoDigits(time.getMonth() + 1), twoDigits(time.getDate())].join('-');
}

function clockOf(time: Date): string[] {
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map(twoDigits);
}

/** `UTC`, or how far the zone's clocks are ahead of it or behind at that time: `UTC-03:30`. */
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
