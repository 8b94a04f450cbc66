import type { Named } from '../../../config/named.js';
import type { Latency } from '../../../evaluate/index.js';
import type { Model } from '../../../ir/graph.js';
import type { Verdict } from '../gates.js';
import type { PassRecord } from '../report.js';
import type { Judgement } from '../subject.js';

/** A model that a recipe made, and what is known of it so far. */
export interface Candidate {
  readonly name: string;
  readonly steps: readonly Named[];
  readonly model: Model;
  readonly records: readonly PassRecord[];
  /** Layers that stay as they are, because the gates failed with them. */
  readonly excluded: readonly string[];
  readonly sizeRatio: number;
  readonly judgement: Judgement;
  readonly verdicts: readonly Verdict[];
  /** Measured only where the other gates hold. */
  readonly latencies?: readonly Latency[];
  /** Whether it was judged by all rows and timed at length, as what is handed on must be. */
  readonly isSettled: boolean;
}

export function holds(verdicts: readonly Verdict[]): boolean {
  return verdicts.every(({ passed }) => passed);
}

/** Whether its answers are good enough, however long they take. */
export function keepsQuality({ verdicts }: Candidate): boolean {
  return holds(verdicts.filter(({ gate }) => gate !== 'latency'));
}

/** The geometric mean of the ratios for each batch size. */
export function timeRatio(latencies: readonly Latency[]): number {
  return Math.exp(latencies.reduce((sum, { ratio }) => sum + Math.log(ratio), 0) / latencies.length);
}

/** Those that no other beats in size and time and distance at once. */
export function frontOf(candidates: readonly Candidate[]): Candidate[] {
  const figures = (one: Candidate): number[] => [
    one.sizeRatio,
    timeRatio(one.latencies!),
    -(one.judgement.difference['signalToNoise'] ?? 0),
  ];
  const beats = (one: Candidate, other: Candidate): boolean => {
    const [a, b] = [figures(one), figures(other)];
    return a.every((value, at) => value <= b[at]!) && a.some((value, at) => value < b[at]!);
  };
  return candidates.filter((one) => !candidates.some((other) => beats(other, one)));
}
