import type { RunIn } from '../runner.js';
import { judgePadding, type Run } from './judge.js';
import type { PaddingOptions } from './options.js';
import { PaddedRuns, type PaddedRunsOptions } from './padded-runs.js';
import { Padder } from './padder.js';
import { openDimensions, planPadding } from './plan.js';

export interface PaddingOrder {
  readonly dimensions: PaddingOptions;
  /** Whether a dimension that the model does not have is passed over: others may have it. */
  readonly forSeveral?: boolean;
}

/**
 * Sees to it that requests of different lengths share runs, where that changes no answer.
 * @returns why they share none, where they do not.
 * @throws MaasError MAAS_CONFIG_INVALID for what does not fit the model.
 */
export async function openPadding(
  { dimensions, forSeveral = false }: PaddingOrder,
  run: Run,
  known: RunIn,
  options: Omit<PaddedRunsOptions, 'tolerance'>,
): Promise<PaddedRuns | string> {
  const open = openDimensions(known.ports);
  const wanted = Object.entries(dimensions).filter(([name]) => !forSeveral || open.includes(name));
  if (wanted.length === 0) return `it has no dimension ${Object.keys(dimensions).join(' or ')}`;
  const plan = planPadding(known.ports, Object.fromEntries(wanted));
  if (known.rows !== 'share') return known.reason ?? 'its requests share no runs';
  const { golden } = known;
  if (!golden) return 'it takes no rows that it could be tried with';
  const judged = await judgePadding(run, { ...known, golden }, plan);
  if (typeof judged === 'string') return judged;
  return new PaddedRuns(new Padder(judged), { ...options, tolerance: golden.tolerance });
}
