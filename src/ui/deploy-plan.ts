import { formatBytes, formatNumber, shortDigest } from './format.js';
import { createStyle } from './style.js';
import { formatTable } from './table.js';

/** What `maas deploy --plan` found; see the deploy stage's `DeployPlan`. */
export interface PlannedDeploy {
  readonly target: string;
  readonly current: string | undefined;
  readonly release: string;
  readonly files:
    | readonly {
        readonly file: string;
        readonly change: 'added' | 'removed' | 'changed' | 'same';
        readonly from?: number;
        readonly to?: number;
      }[]
    | undefined;
  readonly metrics: readonly { readonly metric: string; readonly from?: number; readonly to?: number }[];
  readonly notes: readonly string[];
  readonly steps: readonly string[];
}

/** The plan for people: from what to what, file by file and figure by figure, and the steps in between. */
export function describePlan(plan: PlannedDeploy, { color }: { readonly color: boolean }): string {
  const style = createStyle(color);
  const { current, release, target } = plan;
  if (current === release) return `Release ${shortDigest(release)} is current at ${target}: nothing to do.`;
  const from = current === undefined ? 'nothing' : shortDigest(current);
  const paint = { added: style.green, removed: style.red, changed: style.yellow, same: style.dim };
  const rows = [
    ...(plan.files ?? []).map(({ file, change, from: old, to }) => [
      file,
      bytes(old),
      bytes(to),
      paint[change](change),
    ]),
    ...plan.metrics.map(({ metric, from: old, to }) => [metric, figure(old), figure(to), '']),
  ];
  return [
    `${style.bold(target)}: ${from} → ${style.bold(shortDigest(release))}`,
    formatTable(rows, { header: ['', 'CURRENT', 'NEXT', ''], right: [1, 2], color }),
    plan.files === undefined ? 'The files of the current release cannot be read from here.' : '',
    plan.notes.join('\n'),
    `Steps: ${plan.steps.join(' → ')}`,
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

function bytes(size: number | undefined): string {
  return size === undefined ? '-' : formatBytes(size);
}

function figure(value: number | undefined): string {
  return value === undefined ? '-' : formatNumber(value);
}
