import { RefusedError } from '../../shared/errors.ts';
import { formatTime } from '../../shared/local-time.ts';
import { PERIODS, type Period, type Span, before, formatSpan, periodOf } from './period.ts';

/**
 * Which backups are kept: the last one of each of so many days, weeks, months or years that have one, and those below.
 * Each rule is applied to all backups; a backup is kept if at least one rule keeps it.
 */
export interface RetentionRules extends Readonly<Partial<Record<Period, number | undefined>>> {
  /** This many of the newest backups. */
  readonly last?: number | undefined;
  /** All backups made within this time before the newest one. */
  readonly within?: Span | undefined;
}

/** What the rules need to know about a backup; all of it authenticated, except the name. */
export interface DatedBackup {
  /** Its file's name, for messages. */
  readonly name: string;
  /** Its number in the series. */
  readonly sequence: number;
  readonly made: Date;
  /** The VMs that are complete in it; `dom0` stands for dom0's home, `dom0:/etc/qubes` for a path of dom0. */
  readonly subjects: readonly string[];
}

/** What the rules decide about a backup. */
export interface Verdict<B extends DatedBackup> {
  readonly backup: B;
  /** Which rules keep it: `last`, `daily`, …, `within 30d`. Empty: it is forgotten. */
  readonly reasons: readonly string[];
}

/**
 * Decides which backups are kept, and why; oldest first. The rules are applied to each VM separately, looking only at
 * the backups that contain it, so that a backup of other VMs never displaces the last one of this VM. Age is counted
 * from the newest backup, not from the current time.
 *
 * @param now only to refuse backups from the future
 * @throws RefusedError when a time is in the future, or earlier than that of a previous backup in the series: then one
 *   of the clocks was wrong, and it is unclear which backups are old
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

/** Whether no rule is given. */
export function isEmpty(rules: RetentionRules): boolean {
  return Object.values(rules).every((rule) => rule === undefined);
}

/** Throws RefusedError if a time is in the future, or earlier than that of a previous backup in the series. */
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
