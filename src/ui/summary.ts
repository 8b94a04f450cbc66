import { dirname } from 'node:path';
import { isBrief } from '../evaluate/figures.js';
import { compareFigures } from './comparison.js';
import { confusionTable } from './confusion-table.js';
import { formatDuration, formatNumber, shortDigest } from './format.js';
import { createStyle } from './style.js';
import { formatTable } from './table.js';

export interface StageSummary {
  readonly stage: string;
  readonly status: 'done' | 'cached' | 'failed';
  readonly digest?: string;
  readonly metrics: Readonly<Record<string, unknown>>;
  readonly measured: Readonly<Record<string, unknown>>;
  readonly notes: readonly string[];
  readonly seconds: number;
  readonly why: readonly string[];
}

export interface SummaryOptions {
  readonly color: boolean;
  /** Tell why each stage ran, or why not. */
  readonly why?: boolean;
}

/**
 * What stages did: a line for each with its artifact, time and headline, and for a model that was compressed a table of
 * what that changed.
 */
export function summarize(outcomes: readonly StageSummary[], { color, why }: SummaryOptions): string {
  const style = createStyle(color);
  const compared = outcomes.find(({ metrics }) => typeof metrics['before'] === 'object');
  const rows = outcomes.map((outcome) => [
    style.bold(outcome.stage),
    outcome.digest === undefined ? '-' : shortDigest(outcome.digest),
    outcome.status === 'cached' ? style.green('cached') : formatDuration(outcome.seconds),
    why ? outcome.why.join('; ') : headline(outcome),
  ]);
  const comparison = compared && compareFigures(compared.metrics, compared.measured, color);
  // Of several stages, the line has to do.
  const confusion = outcomes.length === 1 && !why && confusionTable(outcomes[0]!.metrics['confusion'], color);
  const log = outcomes
    .map(({ measured }) => measured['runLog'])
    .find((path): path is string => typeof path === 'string');
  const curves =
    log !== undefined && style.dim(`Run log in ${log}; see it with tensorboard --logdir ${dirname(log)}`);
  return [formatTable(rows), comparison, confusion, curves].filter(Boolean).join('\n\n');
}

function headline({ metrics, notes }: StageSummary): string {
  if (notes.length > 0) return notes.join('; ');
  if (typeof metrics['before'] === 'object') return '';
  return Object.entries(metrics)
    .filter(([name, value]) => typeof value === 'number' && isBrief(name))
    .map(([name, value]) => `${name} ${formatNumber(value as number)}`)
    .join(' · ');
}
