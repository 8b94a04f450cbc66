import type { AutoOptions } from '../config.js';
import { frontOf, holds, timeRatio, type Candidate } from './candidate.js';

export interface Choice {
  readonly chosen: Candidate;
  readonly reason: string;
  readonly front: readonly Candidate[];
}

/**
 * Times and sizes that are this near to each other are alike: the clock of a busy machine says no more. What is alike is
 * told apart by size, and then by the order of the recipes, neither of which changes from run to run.
 */
const alike = { time: 1.1, size: 1.02 };

/** @param tried The first is the model as it came. When not even that passes, a gate names the layers of another. */
export function choose(tried: readonly Candidate[], goal: AutoOptions['goal']): Choice {
  const passing = tried.filter(({ verdicts, latencies }) => latencies && holds(verdicts));
  const front = frontOf(passing);
  if (front.length === 0) {
    const chosen = tried.find(({ steps }) => steps.some(({ name }) => name === 'quantize')) ?? tried.at(-1)!;
    return { chosen: { ...chosen, isSettled: true }, reason: 'no recipe keeps to the gates', front };
  }
  if (goal === 'size') {
    const chosen = smallest(front);
    return { chosen, reason: `the smallest of ${passing.length} that keep to the gates`, front };
  }
  const time = (one: Candidate): number => timeRatio(one.latencies!);
  const least = Math.min(...front.map(time));
  // Not of the front alone: noise decides what is on it.
  const fast = passing.filter((one) => time(one) <= least * alike.time);
  const chosen = smallest(fast);
  const reason = `the fastest of ${passing.length} that keep to the gates${fast.length > 1 ? ', and the smallest of those as fast' : ''}`;
  return { chosen, reason, front };
}

/** Of those that are alike in size the one that was tried first, which is the most promising. */
function smallest(candidates: readonly Candidate[]): Candidate {
  const least = Math.min(...candidates.map(({ sizeRatio }) => sizeRatio));
  return candidates.find(({ sizeRatio }) => sizeRatio <= least * alike.size)!;
}
