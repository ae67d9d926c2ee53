import { formatSize } from '../../shared/sizes.ts';
import type { Phase } from '../../shared/report.ts';
import { formatClock, formatEstimate } from './durations.ts';
import type { Standing } from './progress.ts';

const MOST_BLOCKS = 40;
const FEWEST_BLOCKS = 5;

/** What is shown instead of the current VM in phases without one. */
const PHASES: Partial<Record<Phase, string>> = {
  look: 'looking at the volumes',
  detect: 'looking for changes',
  index: 'writing the lists',
  sync: 'syncing',
  settle: 'applying settings',
};

/** The progress in two lines for a terminal: a bar and the current VM, then the figures. */
export function formatBlock(standing: Standing, columns: number): string[] {
  return [barAndSubject(standing, columns), fitting(figuresOf(standing), columns)];
}

/** The progress in one line, for a log. */
export function formatProgress(standing: Standing): string {
  return `${percent(standing)}: ${figuresOf(standing).join(', ')}; ${subjectOf(standing)}`;
}

function barAndSubject(standing: Standing, columns: number): string {
  const text = `${percent(standing)}  ${subjectOf(standing)}`;
  const room = Math.min(MOST_BLOCKS, columns - text.length - 3);
  if (room < FEWEST_BLOCKS) return cut(text, columns);
  const blocks = Math.floor(shareOf(standing) * room);
  return `[${'#'.repeat(blocks)}${'-'.repeat(room - blocks)}] ${text}`;
}

function percent(standing: Standing): string {
  return `${Math.floor(shareOf(standing) * 100)} %`;
}

function shareOf({ bytes, total }: Standing): number {
  return total === 0 ? 1 : Math.min(1, bytes / total);
}

function subjectOf({ phase, subject }: Standing): string {
  if (phase === 'check' && subject === '') return 'checking';
  return PHASES[phase] ?? subject;
}

/** The most important ones first. */
function figuresOf({ bytes, total, rate, secondsLeft, seconds }: Standing): string[] {
  return [
    `${formatSize(bytes)} of ${formatSize(total)}`,
    ...(secondsLeft === undefined ? [] : [`${formatEstimate(secondsLeft)} left`]),
    formatClock(seconds),
    ...(rate === undefined ? [] : [`${formatSize(Math.round(rate))}/s`]),
  ];
}

/** As many of the figures as fit on a line. */
function fitting(figures: readonly string[], columns: number): string {
  const all = figures.join(', ');
  return all.length <= columns || figures.length === 1
    ? cut(all, columns)
    : fitting(figures.slice(0, -1), columns);
}

function cut(text: string, columns: number): string {
  return text.length <= columns ? text : `${text.slice(0, columns - 1)}…`;
}
