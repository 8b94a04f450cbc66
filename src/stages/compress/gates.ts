import type { Signature } from '../../data/signature.js';
import { MaasError, type Place } from '../../errors.js';
import type { Latency } from '../../evaluate/index.js';
import type { Gates } from './config.js';

/** What is known of the model before and after compression. */
export interface Measurement {
  readonly task: Signature['task'];
  /** Figures of `evaluate` on the test split. */
  readonly before: Readonly<Record<string, number>>;
  readonly after: Readonly<Record<string, number>>;
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
  const { task, before, after, bytesBefore, bytesAfter } = measurement;
  const quality = task === 'classification' ? accuracyGate : errorGate;
  const ratio = bytesAfter / bytesBefore;
  return [
    quality(gates, before, after),
    verdict(
      'size',
      'maxRatio',
      gates.size.maxRatio,
      ratio,
      `${show(ratio)} × the size (${bytesBefore} → ${bytesAfter} bytes)`,
    ),
  ];
}

/** The latency gate, for each batch size. */
export function checkLatency(gates: Gates, latencies: readonly Latency[]): Verdict[] {
  return latencies.map(({ batch, before, after, ratio }) => {
    const rows = batch === 1 ? '1 row' : `${batch} rows`;
    const text = `${show(ratio)} × the time for ${rows} (${show(before)} → ${show(after)} µs)`;
    return verdict('latency', 'maxRatio', gates.latency.maxRatio, ratio, text);
  });
}

type Figures = Readonly<Record<string, number>>;

function accuracyGate(gates: Gates, before: Figures, after: Figures): Verdict {
  const drop = before['accuracy']! - after['accuracy']!;
  // A model that gives NaN for probabilities may still name a class.
  const figure = Number.isFinite(after['logLoss']) ? drop : NaN;
  const text = Number.isNaN(figure)
    ? 'the probabilities are not numbers any more'
    : `accuracy dropped by ${show(drop)} (${show(before['accuracy']!)} → ${show(after['accuracy']!)})`;
  return verdict('accuracy', 'maxDrop', gates.accuracy.maxDrop, figure, text);
}

function errorGate(gates: Gates, before: Figures, after: Figures): Verdict {
  const [old, now] = [before['mse']!, after['mse']!];
  const increase = old === now ? 0 : now / old - 1;
  const text = `the mean squared error grew by ${show(increase)} of itself (${show(old)} → ${show(now)})`;
  return verdict('error', 'maxIncrease', gates.error.maxIncrease, increase, text);
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

/** A figure with the digits that matter. */
function show(value: number): string {
  return String(Number(value.toPrecision(4)));
}

/**
 * @param layers What the passes changed, for the message.
 * @throws MaasError MAAS_GATE_FAILED for the first gate that failed, with the others in it.
 */
export function enforce(verdicts: readonly Verdict[], layers: readonly string[], place: Place): void {
  const changed = layers.length > 0 ? `changed layers: ${layers.join(', ')}` : 'no layer was changed';
  const errors = verdicts
    .filter((result) => !result.passed)
    .map(({ gate, option, limit, figure, text }) => {
      const message = `compress.gates.${gate}.${option} is ${limit}: ${text}; ${changed}`;
      const details = { gate, option, limit, figure: Number.isFinite(figure) ? figure : null, layers };
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
