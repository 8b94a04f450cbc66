import { MaasError, type Place } from '../../errors.js';
import type { Latency } from '../../evaluate/index.js';
import type { Gates } from './config.js';
import type { Judgement } from './subject.js';

/** What is known of the model before and after compression. */
export interface Measurement extends Omit<Judgement, 'rows'> {
  /** Of all its files, in bytes. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/** A gate with the figure that it was held against. */
export interface Verdict {
  readonly gate: keyof Gates;
  /** How the limit is called in the config. */
  readonly option: string;
  readonly limit: number;
  /** NaN when the model gives numbers that are none. */
  readonly figure: number;
  readonly passed: boolean;
  /** The figure in words: `accuracy dropped by 0.02 (0.98 → 0.96)`. */
  readonly text: string;
}

/** The gates that the same model passes or fails every time: quality and size. */
export function checkQuality(gates: Gates, measurement: Measurement): Verdict[] {
  const { task, before, after, difference, bytesBefore, bytesAfter } = measurement;
  const ratio = bytesAfter / bytesBefore;
  return [
    ...(task === 'classification' ? labelGates(gates, before, after) : []),
    ...(task === 'regression' ? errorGates(gates, before, after) : []),
    ...agreementGate(gates, difference),
    ...signalGate(gates, difference),
    verdict(
      'size',
      'maxRatio',
      gates.size.maxRatio,
      ratio,
      `${show(ratio)} × the size (${bytesBefore} → ${bytesAfter} bytes)`,
    ),
  ];
}

/** The latency gate, for each batch size. It fails when the ratio is above its limit with 99 % confidence. */
export function checkLatency(gates: Gates, latencies: readonly Latency[]): Verdict[] {
  return latencies.map(({ batch, before, after, ratio, low, high }) => {
    const rows = batch === 1 ? '1 row' : `${batch} rows`;
    const between = `${show(low)} to ${show(high)}`;
    const text = `${show(ratio)} × the time for ${rows} (${between} × with 99 % confidence; ${show(before)} → ${show(after)} µs)`;
    const limit = gates.latency.maxRatio;
    return { gate: 'latency', option: 'maxRatio', limit, figure: ratio, passed: low <= limit, text };
  });
}

type Figures = Readonly<Record<string, number>>;

function labelGates(gates: Gates, before: Figures, after: Figures): Verdict[] {
  const drop = before['accuracy']! - after['accuracy']!;
  // A model that gives NaN for probabilities may still name a class.
  const figure = Number.isFinite(after['logLoss']) ? drop : NaN;
  const text = Number.isNaN(figure)
    ? 'the probabilities are not numbers any more'
    : `accuracy dropped by ${show(drop)} (${show(before['accuracy']!)} → ${show(after['accuracy']!)})`;
  const verdicts = [verdict('accuracy', 'maxDrop', gates.accuracy.maxDrop, figure, text)];
  if (gates.recall) verdicts.push(recallGate(gates.recall.maxDrop, before, after));
  return verdicts;
}

/** Held against the label that lost most. */
function recallGate(limit: number, before: Figures, after: Figures): Verdict {
  let worst = { drop: -Infinity, text: 'there are no labels' };
  for (const [name, old] of Object.entries(before)) {
    if (!name.startsWith('recall.')) continue;
    const now = after[name]!;
    if (old - now <= worst.drop) continue;
    const label = name.slice('recall.'.length);
    const drop = old - now;
    worst = { drop, text: `recall of ${label} dropped by ${show(drop)} (${show(old)} → ${show(now)})` };
  }
  return verdict('recall', 'maxDrop', limit, worst.drop, worst.text);
}

function errorGates(gates: Gates, before: Figures, after: Figures): Verdict[] {
  const [old, now] = [before['mse']!, after['mse']!];
  const increase = old === now ? 0 : now / old - 1;
  const text = `the mean squared error grew by ${show(increase)} of itself (${show(old)} → ${show(now)})`;
  return [verdict('error', 'maxIncrease', gates.error.maxIncrease, increase, text)];
}

function agreementGate({ agreement: gate }: Gates, difference: Figures): Verdict[] {
  const share = difference['agreement'];
  if (!gate || share === undefined) return [];
  return [
    atLeast('agreement', gate.min, share, `${show(share)} of the rows get the label that they got before`),
  ];
}

function signalGate({ signalToNoise: gate }: Gates, difference: Figures): Verdict[] {
  if (!gate) return [];
  const ratio = difference['signalToNoise']!;
  return [atLeast('signalToNoise', gate.min, ratio, `the output keeps ${show(ratio)} dB`)];
}

/** Differences of shares are off by this much in binary: 0.98 − 0.97 is a little more than 0.01. */
const rounding = 1e-9;

function verdict(
  gate: Verdict['gate'],
  option: string,
  limit: number,
  figure: number,
  text: string,
): Verdict {
  return { gate, option, limit, figure, passed: figure <= limit + rounding, text };
}

function atLeast(gate: Verdict['gate'], limit: number, figure: number, text: string): Verdict {
  return { gate, option: 'min', limit, figure, passed: figure >= limit - rounding, text };
}

/** A figure with the digits that matter. */
function show(value: number): string {
  return String(Number(value.toPrecision(4)));
}

/** Of more layers than this a message names the worst only. */
const maxNamed = 8;

/**
 * @param layers What the passes changed, worst first where the noise is known.
 * @throws MaasError MAAS_GATE_FAILED for the first gate that failed, with the others in it.
 */
export function enforce(verdicts: readonly Verdict[], layers: readonly ChangedLayer[], place?: Place): void {
  const changed = describeLayers(layers);
  const errors = verdicts
    .filter((result) => !result.passed)
    .map(({ gate, option, limit, figure, text }) => {
      const message = `compress.gates.${gate}.${option} is ${limit}: ${text}; ${changed}`;
      const names = layers.map(({ node }) => node);
      const details = { gate, option, limit, figure: Number.isFinite(figure) ? figure : null, layers: names };
      return { message, details };
    });
  const [first, ...rest] = errors;
  if (!first) return;
  throw new MaasError('MAAS_GATE_FAILED', first.message, {
    place,
    details: first.details,
    others: rest.map(
      ({ message, details }) => new MaasError('MAAS_GATE_FAILED', message, { place, details }),
    ),
  });
}

export interface ChangedLayer {
  readonly node: string;
  /** Of its output before and after, in dB, where it was measured. */
  readonly signalToNoise?: number;
}

function describeLayers(layers: readonly ChangedLayer[]): string {
  if (layers.length === 0) return 'no layer was changed';
  const named = layers.slice(0, maxNamed).map(({ node, signalToNoise }) => {
    if (signalToNoise === undefined) return node;
    return `${node} (${showNoise(signalToNoise)})`;
  });
  const rest = layers.length - named.length;
  return `changed layers: ${named.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

function showNoise(decibels: number): string {
  if (Number.isNaN(decibels)) return 'not a number';
  return decibels === Infinity ? 'unchanged' : `${decibels.toFixed(1)} dB`;
}
