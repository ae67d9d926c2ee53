/** Formats a measured duration: `1:05`, `2:05:00`. */
export function formatClock(seconds: number): string {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const [first = 0, ...rest] = parts[0] === 0 ? parts.slice(1) : parts;
  return [first, ...rest.map((part) => String(part).padStart(2, '0'))].join(':');
}

/** Formats an estimated duration, rounded: `8 s`, `35 s`, `3 min`, `2 h 05 min`. */
export function formatEstimate(seconds: number): string {
  if (seconds < 10) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 88) return `${Math.round(seconds / 5) * 5} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const inFives = Math.round(minutes / 5) * 5;
  return `${Math.floor(inFives / 60)} h ${String(inFives % 60).padStart(2, '0')} min`;
}
