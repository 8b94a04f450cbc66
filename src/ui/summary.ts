import { formatDuration, formatNumber, shortDigest } from './format.js';
import { createStyle } from './style.js';

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
  /** Tell why the stage ran, or why not. */
  readonly why?: boolean;
}

/** What a stage did, in a few lines: status and time, its figures, its notes. */
export function summarizeStage(outcome: StageSummary, { color, why }: SummaryOptions): string {
  const style = createStyle(color);
  const { stage, status, digest, metrics, measured, notes, seconds } = outcome;
  const ended = status === 'cached' ? style.green('cached') : `${status} in ${formatDuration(seconds)}`;
  const lines = [[style.bold(stage), digest && shortDigest(digest), ended].filter(Boolean).join('  ')];
  if (why) lines.push(`  ${style.dim('because')} ${outcome.why.join('; ')}`);
  const figures = [...listFigures(metrics), ...listFigures(measured)];
  if (figures.length > 0) lines.push(`  ${figures.join(' · ')}`);
  return [...lines, ...notes.map((note) => `  ${note}`)].join('\n');
}

export function summarizeRun(outcomes: readonly StageSummary[], options: SummaryOptions): string {
  return outcomes.map((outcome) => summarizeStage(outcome, options)).join('\n');
}

/** Nested figures as `test.accuracy 0.9667`; text and lists are for the JSON form. */
function listFigures(figures: Readonly<Record<string, unknown>>, prefix = ''): string[] {
  return Object.entries(figures).flatMap(([name, value]) => {
    if (typeof value === 'number') return [`${prefix}${name} ${formatNumber(value)}`];
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
    return listFigures(value as Record<string, unknown>, `${prefix}${name}.`);
  });
}
