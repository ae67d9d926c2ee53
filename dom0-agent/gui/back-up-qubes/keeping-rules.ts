import { _ } from '../texts.ts';

/** How many backups are kept, by the rules of `coffer prune`. */
export interface Rules {
  readonly last: number;
  readonly daily: number;
  readonly weekly: number;
  readonly monthly: number;
  readonly yearly: number;
}

export const RULES = ['last', 'daily', 'weekly', 'monthly', 'yearly'] as const;

/** The rules to choose from, with their descriptions. */
export function offeredRules(): readonly { readonly text: string; readonly rules: Rules }[] {
  return [
    {
      text: _('many: the last of 14 days, 8 weeks, 24 months and 10 years'),
      rules: { last: 3, daily: 14, weekly: 8, monthly: 24, yearly: 10 },
    },
    {
      text: _('some: the last of 7 days, 4 weeks and 12 months'),
      rules: { last: 1, daily: 7, weekly: 4, monthly: 12, yearly: 0 },
    },
    {
      text: _('few: the last of 4 weeks and 3 months'),
      rules: { last: 1, daily: 0, weekly: 4, monthly: 3, yearly: 0 },
    },
  ];
}

/** The label of a custom rule. */
export function ruleLabel(rule: keyof Rules): string {
  const labels: Record<keyof Rules, string> = {
    last: _('_Newest backups'),
    daily: _('_Days, one backup of each'),
    weekly: _('_Weeks, one backup of each'),
    monthly: _('_Months, one backup of each'),
    yearly: _('_Years, one backup of each'),
  };
  return labels[rule];
}

/** The options of `coffer prune`; none if nothing is to be kept. */
export function optionsOf(rules: Rules): string[] {
  return RULES.flatMap((rule) =>
    rules[rule] === 0 ? [] : [`--keep-${rule}`, String(rules[rule])],
  );
}
