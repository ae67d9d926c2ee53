import { RefusedError } from '../../shared/errors.ts';
import { formatTime } from '../../shared/local-time.ts';
import { PERIODS, type Period, type Span, before, formatSpan, periodOf } from './period.ts';

/** Which backups are kept. Each rule looks at all backups, and what one of them keeps is kept. */
export interface RetentionRules extends Readonly<Partial<Record<Period, number | undefined>>> {
  /** So many of the newest. */
  readonly last?: number | undefined;
  /** All that were made within this time before the newest. */
  readonly within?: Span | undefined;
}

/** A backup as far as rules look at it: all of it is authentic. */
export interface DatedBackup {
  /** What it is called, for messages. */
  readonly name: string;
  /** Its place in the series. */
  readonly sequence: number;
  readonly made: Date;
  /** Of which VMs, or what else, it holds a state. */
  readonly subjects: readonly string[];
}

/** What the rules say of a backup. */
export interface Verdict<B extends DatedBackup> {
  readonly backup: B;
  /** Which rules keep it: `last`, `daily`, …, `within 30d`. None: it is to be forgotten. */
  readonly reasons: readonly string[];
}

/**
 * Which backups are kept, and why; oldest first. The rules are applied to each VM by itself: of the backups that hold
 * it, as if there were no others. So a backup of other VMs never displaces the last one of this VM. No clock decides:
 * the present is the newest backup's time.
 *
 * @throws RefusedError when a time lies in the future, or earlier than that of a backup before it in the series: then
 *   one of the clocks was wrong, and it cannot be told which backups are old
 */
export function applyRetention<B extends DatedBackup>(
  backups: readonly B[],
  rules: RetentionRules,
  now: Date,
): Verdict<B>[] {
  const inOrder = [...backups].sort(
    (one, other) => one.sequence - other.sequence || one.made.getTime() - other.made.getTime(),
  );
  requireSoundTimes(inOrder, now);
  const reasons = new Map(inOrder.map((backup) => [backup, new Set<string>()]));
  for (const subject of new Set(inOrder.flatMap(({ subjects }) => subjects))) {
    const newestFirst = inOrder.filter(({ subjects }) => subjects.includes(subject)).reverse();
    for (const [backup, reason] of keptOf(newestFirst, rules)) reasons.get(backup)?.add(reason);
  }
  return inOrder.map((backup) => ({ backup, reasons: [...(reasons.get(backup) ?? [])] }));
}

/** Whether they keep anything at all. */
export function isEmpty(rules: RetentionRules): boolean {
  return Object.values(rules).every((rule) => rule === undefined);
}

function requireSoundTimes(inOrder: readonly DatedBackup[], now: Date): void {
  let latest: DatedBackup | undefined;
  for (const backup of inOrder) {
    const { name, made, sequence } = backup;
    if (made > now) {
      throw new RefusedError(
        `${name} says that it was made on ${formatTime(made)}, which is in the future: nothing is forgotten before ` +
          'it is clear which clock is wrong',
      );
    }
    if (latest !== undefined && made < latest.made && sequence > latest.sequence) {
      throw new RefusedError(
        `${name} comes after ${latest.name} in the series, but says that it was made before it, on ` +
          `${formatTime(made)}: nothing is forgotten while it is unclear which backups are old`,
      );
    }
    if (latest === undefined || made >= latest.made) latest = backup;
  }
}

/** Which of the backups of one VM are kept, and by which rule. */
function* keptOf<B extends DatedBackup>(
  newestFirst: readonly B[],
  rules: RetentionRules,
): Generator<[B, string], void, undefined> {
  const [newest] = newestFirst;
  if (newest === undefined) return;
  for (const backup of newestFirst.slice(0, rules.last ?? 0)) yield [backup, 'last'];
  for (const period of PERIODS) {
    const begun = new Set<string>();
    for (const backup of newestFirst) {
      const name = periodOf(backup.made, period);
      if (begun.has(name) || begun.size >= (rules[period] ?? 0)) continue;
      begun.add(name);
      yield [backup, period];
    }
  }
  const { within } = rules;
  if (within === undefined) return;
  const since = before(newest.made, within);
  for (const backup of newestFirst) {
    if (backup.made >= since) yield [backup, `within ${formatSpan(within)}`];
  }
}
