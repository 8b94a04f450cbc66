import { MaasError, type Place } from '../../errors.js';
import {
  dropAtMost,
  ratioAtMost,
  rowsFor,
  shareAtLeast,
  type Change,
  type Latency,
  type Paired,
} from '../../evaluate/index.js';
import type { Gates } from './config.js';
import type { Overflow } from './overflow.js';
import { describeSaturated, type Saturated } from './saturation.js';
import type { Judgement } from './subject.js';

/** What is known of the model before and after compression. */
export interface Measurement extends Omit<Judgement, 'rows' | 'isWhole'> {
  /** Of all its files, in bytes. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/** A gate with the figure that it was held against. */
export interface Verdict {
  readonly gate: Exclude<keyof Gates, 'confidence'> | 'logLoss';
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
  const { heads, bytesBefore, bytesAfter } = measurement;
  const ratio = bytesAfter / bytesBefore;
  const ofHeads = Object.entries(heads ?? {}).flatMap(([name, { paired, ...own }]) =>
    // Nothing is left to chance where nothing has changed.
    checkAnswers(gates, {
      ...own,
      ...(measurement.paired && paired && { paired }),
    }).map((result) => ({
      ...result,
      text: `${name}: ${result.text}`,
    })),
  );
  return [
    ...(heads ? ofHeads : checkAnswers(gates, measurement)),
    verdict(
      'size',
      'maxRatio',
      gates.size.maxRatio,
      ratio,
      `${show(ratio)} × the size (${bytesBefore} → ${bytesAfter} bytes)`,
    ),
  ];
}

/** Standard deviations that leave no doubt: 99 % confidence. */
const certain = 2.576;

/** Whether some of the rows show that all of them will fail: where they lose more than chance could. */
export function failsSurely({ accuracy: { maxDrop } }: Gates, { accuracy }: Paired = {}): boolean {
  if (!accuracy) return false;
  const { rows, lost, gained } = accuracy;
  const drop = (lost - gained) / rows;
  const deviation = Math.sqrt(Math.max(0, (lost + gained) / rows - drop ** 2) / rows);
  return drop - certain * deviation > maxDrop;
}

/** Growth of the log loss, as a share of it and in nats, that is within what a search may do. */
const logLossMay = { grow: 0.05, rise: 0.005 };

/**
 * What a search holds its candidates to beside the gates, as those of regression are held to their error by default: labels can
 * stay as they are while all that is known of their odds is lost.
 */
export function checkLogLoss({ before, after }: Pick<Measurement, 'before' | 'after'>): Verdict[] {
  // Of several targets each has one: `logLoss of species`.
  const names = Object.keys(before).filter((name) => /^logLoss( of |$)/.test(name));
  return names.flatMap((name) => {
    const [from, to] = [before[name], after[name]];
    if (from === undefined || to === undefined) return [];
    const limit = Math.max(logLossMay.rise, logLossMay.grow * from);
    const text = `${name.replace('logLoss', 'log loss')} rose by ${show(to - from)} (${show(from)} → ${show(to)})`;
    return [verdict('logLoss', 'maxRise', limit, to - from, text)];
  });
}

/** The gates of quality: what the model says of one target. */
function checkAnswers(gates: Gates, judged: Omit<Judgement, 'rows' | 'isWhole' | 'heads'>): Verdict[] {
  const { task, before, after, difference, paired = {} } = judged;
  return [
    ...(task === 'classification' ? labelGates(gates, before, after, paired) : []),
    ...(task === 'regression' ? errorGates(gates, before, after, paired) : []),
    ...agreementGate(gates, difference, paired),
    ...signalGate(gates, difference, paired),
  ];
}

/** The latency gate, for each batch size. It fails when the ratio is above its limit with 99 % confidence. */
export function checkLatency(gates: Gates, latencies: readonly Latency[]): Verdict[] {
  return latencies.map(({ batch, before, after, ratio, low, high }) => {
    const rows = batch === 1 ? '1 row' : `${batch} rows`;
    const between = `${show(low)} to ${show(high)}`;
    const text = `${show(ratio)} × the time for ${rows} (${between} × with 99 % confidence; ${show(before)} → ${show(after)} µs)`;
    const limit = gates.latency.maxRatio;
    return {
      gate: 'latency',
      option: 'maxRatio',
      limit,
      figure: ratio,
      passed: low <= limit,
      text,
    };
  });
}

/** Of the layers that overflow on the processors that the model is for, the worst first. */
export function checkOverflow({ overflow }: Gates, overflows: readonly Overflow[]): Verdict[] {
  const share = overflows[0]?.share ?? 0;
  const named = overflows.slice(0, maxNamed).map(({ node, share: own }) => `${node} (${show(own * 100)} %)`);
  const where = named.length > 0 ? `: ${named.join(', ')}` : '';
  const text = `${show(share)} of the sums of two products in a layer overflow without VNNI${where}`;
  return [verdict('overflow', 'maxShare', overflow.maxShare, share, text)];
}

/** Peak memory in bytes, before and after. */
export interface MemoryUse {
  readonly before: number;
  readonly after: number;
}

/** Differences that another run of the same model may show as well. */
const memoryNoise = 4 * 2 ** 20;

export function checkMemory({ memory: gate }: Gates, { before, after }: MemoryUse): Verdict[] {
  if (!gate) return [];
  const ratio = after / before;
  const megabytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
  const text = `${show(ratio)} × the peak memory (${megabytes(before)} → ${megabytes(after)} MiB)`;
  const passed = after <= gate.maxRatio * before + memoryNoise;
  return [
    {
      gate: 'memory',
      option: 'maxRatio',
      limit: gate.maxRatio,
      figure: ratio,
      passed,
      text,
    },
  ];
}

type Figures = Readonly<Record<string, number>>;

/** What rows leave open beside what they show, where a confidence is asked for. */
interface Bound {
  readonly figure: number;
  readonly text: string;
}

function labelGates(gates: Gates, before: Figures, after: Figures, paired: Paired): Verdict[] {
  const { maxDrop } = gates.accuracy;
  const drop = before['accuracy']! - after['accuracy']!;
  // A model that gives NaN for probabilities may still name a class.
  const isNumber = Number.isFinite(after['logLoss']);
  const bound = boundDrop(paired.accuracy, maxDrop, gates.confidence);
  const text = isNumber
    ? `accuracy dropped by ${show(drop)} (${show(before['accuracy']!)} → ${show(after['accuracy']!)})${bound?.text ?? ''}`
    : 'the probabilities are not numbers any more';
  const verdicts = [verdict('accuracy', 'maxDrop', maxDrop, isNumber ? (bound?.figure ?? drop) : NaN, text)];
  if (gates.recall) verdicts.push(recallGate(gates.recall.maxDrop, before, after, paired, gates.confidence));
  return verdicts;
}

/** Held against the label that lost most. That all labels keep to it needs no more confidence than that each does. */
function recallGate(
  limit: number,
  before: Figures,
  after: Figures,
  { labels = {} }: Paired,
  confidence: number | undefined,
): Verdict {
  let worst = { drop: -Infinity, text: 'there are no labels' };
  for (const [name, old] of Object.entries(before)) {
    if (!name.startsWith('recall.')) continue;
    const label = name.slice('recall.'.length);
    const now = after[name]!;
    const bound = boundDrop(labels[label], limit, confidence);
    const drop = bound?.figure ?? old - now;
    if (drop <= worst.drop) continue;
    const text = `recall of ${label} dropped by ${show(old - now)} (${show(old)} → ${show(now)})${bound?.text ?? ''}`;
    worst = { drop, text };
  }
  return verdict('recall', 'maxDrop', limit, worst.drop, worst.text);
}

function boundDrop(
  change: Change | undefined,
  limit: number,
  confidence: number | undefined,
): Bound | undefined {
  if (!change || confidence === undefined) return undefined;
  const figure = dropAtMost(change, confidence);
  const text = `, by at most ${show(figure)} ${surely(confidence, change.rows)}`;
  return {
    figure,
    text: figure > limit ? `${text}${wantsRows(limit, change.rows, confidence)}` : text,
  };
}

function surely(confidence: number, rows: number): string {
  return `with ${show(confidence * 100)} % confidence on ${rows} rows`;
}

/** Said where even a model that loses nothing could not pass. */
function wantsRows(drop: number, rows: number, confidence: number): string {
  const needed = rowsFor(drop, confidence);
  if (rows >= needed) return '';
  return Number.isFinite(needed)
    ? `: to show no more than ${show(drop)} takes ${needed} rows at least`
    : ': no number of rows shows that nothing is lost';
}

function errorGates(gates: Gates, before: Figures, after: Figures, { errors }: Paired): Verdict[] {
  const { confidence } = gates;
  const [old, now] = [before['mse']!, after['mse']!];
  const increase = old === now ? 0 : now / old - 1;
  const bounds = errors && confidence !== undefined;
  const most = bounds ? ratioAtMost(errors, confidence) - 1 : increase;
  const more = bounds ? `, by at most ${show(most)} ${surely(confidence, errors.rows)}` : '';
  const text = `the mean squared error grew by ${show(increase)} of itself (${show(old)} → ${show(now)})${more}`;
  return [verdict('error', 'maxIncrease', gates.error.maxIncrease, most, text)];
}

function agreementGate(
  { agreement: gate, confidence }: Gates,
  difference: Figures,
  paired: Paired,
): Verdict[] {
  const share = difference['agreement'];
  if (!gate || share === undefined) return [];
  const text = `${show(share)} of the rows get the label that they got before`;
  const { agreement: change } = paired;
  if (!change || confidence === undefined) return [atLeast('agreement', gate.min, share, text)];
  const { rows, lost } = change;
  const least = shareAtLeast(rows - lost, rows, confidence);
  const wants = least < gate.min ? wantsRows(1 - gate.min, rows, confidence) : '';
  return [
    atLeast(
      'agreement',
      gate.min,
      least,
      `${text}, at least ${show(least)} ${surely(confidence, rows)}${wants}`,
    ),
  ];
}

function signalGate(
  { signalToNoise: gate, confidence }: Gates,
  difference: Figures,
  { noise }: Paired,
): Verdict[] {
  if (!gate) return [];
  const ratio = difference['signalToNoise']!;
  const text = `the output keeps ${show(ratio)} dB`;
  if (!noise || confidence === undefined) return [atLeast('signalToNoise', gate.min, ratio, text)];
  const least = noise.a === 0 ? Infinity : -10 * Math.log10(ratioAtMost(noise, confidence));
  return [
    atLeast(
      'signalToNoise',
      gate.min,
      least,
      `${text}, at least ${show(least)} ${surely(confidence, noise.rows)}`,
    ),
  ];
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
  return {
    gate,
    option,
    limit,
    figure,
    passed: figure <= limit + rounding,
    text,
  };
}

function atLeast(gate: Verdict['gate'], limit: number, figure: number, text: string): Verdict {
  return {
    gate,
    option: 'min',
    limit,
    figure,
    passed: figure >= limit - rounding,
    text,
  };
}

/** A figure with the digits that matter. */
function show(value: number): string {
  return String(Number(value.toPrecision(4)));
}

/** Of more layers than this a message names the worst only. */
const maxNamed = 8;

/** Where to look for why a gate failed. */
export interface Cause {
  /** What the passes changed, worst first where the noise is known. */
  readonly layers: readonly ChangedLayer[];
  /** What calibration did not reckon with. */
  readonly saturated: readonly Saturated[];
}

/** @throws MaasError MAAS_GATE_FAILED for the first gate that failed, with the others in it. */
export function enforce(verdicts: readonly Verdict[], { layers, saturated }: Cause, place?: Place): void {
  const beyond =
    saturated.length > 0
      ? `; the test rows leave the ranges of calibration at ${describeSaturated(saturated)}`
      : '';
  const changed = `${describeLayers(layers)}${beyond}`;
  const errors = verdicts
    .filter((result) => !result.passed)
    .map(({ gate, option, limit, figure, text }) => {
      const message = `compress.gates.${gate}.${option} is ${limit}: ${text}; ${changed}`;
      const details = {
        ...{
          gate,
          option,
          limit,
          figure: Number.isFinite(figure) ? figure : null,
        },
        layers: layers.map(({ node }) => node),
        ...(saturated.length > 0 && {
          saturated: saturated.map(({ node }) => node),
        }),
      };
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
