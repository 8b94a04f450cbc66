import { join } from 'node:path';
import type { Named } from '../../../config/named.js';
import { compareLatency } from '../../../evaluate/index.js';
import { saveModel } from '../../../ir/onnx/save.js';
import type { Pass } from '../../../plugin/api.js';
import type { AutoOptions, Gates } from '../config.js';
import { checkLatency, checkQuality } from '../gates.js';
import { candidateRecipes, kindOf, readRecipe } from '../recipes.js';
import type { PassRecord } from '../report.js';
import type { Subject } from '../subject.js';
import { build, frontOf, holds, timeRatio, type Candidate } from './candidate.js';
import { measureSensitivity, type Sensitivity } from './sensitivity.js';

export interface SearchOrder {
  readonly subject: Subject;
  readonly options: AutoOptions;
  readonly gates: Gates;
  readonly passes: ReadonlyMap<string, Pass>;
  /** Folder for candidates. */
  readonly folder: string;
  readonly signal: AbortSignal;
  /** Told what is being tried. */
  readonly onTry: (name: string) => void;
}

export interface SearchResult {
  readonly chosen: Candidate;
  readonly reason: string;
  /** In the order in which they were tried. */
  readonly tried: readonly Candidate[];
  readonly front: readonly Candidate[];
  /** Recipes that there was no time for. */
  readonly untried: readonly string[];
  /** Of the layers of the recipe whose gates failed first, the most sensitive first. */
  readonly sensitivities: readonly Sensitivity[];
}

/** Pairs of runs to tell candidates apart; the one that is chosen is timed again, longer. */
const rounds = 80;
/** Times and sizes that are this near to each other are alike, so that a busy machine chooses as an idle one does. */
const alike = { time: 1.1, size: 1.02 };

/**
 * Tries the recipes that suit the model, most promising first, and keeps to the gates: where one fails, the layers that
 * move the outputs most stay as they are, one, two, four, … of them, until it holds. Of those that pass, the fastest or
 * the smallest is chosen.
 */
export async function search(order: SearchOrder): Promise<SearchResult> {
  const { subject, options, passes, signal, onTry } = order;
  const until = performance.now() + options.budget * 1000;
  const hasData = (await subject.context.calibration(1)).length > 0;
  const recipes = candidateRecipes(kindOf(subject.model), hasData, options.goal);
  const tried: Candidate[] = [];
  const untried: string[] = [];
  let sensitivities: readonly Sensitivity[] = [];
  for (const { name, steps } of recipes) {
    signal.throwIfAborted();
    // However little time there is, one recipe is tried beside the model as it came.
    if (tried.length > 2 && performance.now() > until) {
      untried.push(name);
      continue;
    }
    onTry(name);
    const named = readRecipe(steps, passes);
    const first = await attempt(name, named, [], order, tried);
    if (!first) continue;
    tried.push(first);
    if (holds(first.verdicts)) continue;
    const repaired = await repair(first, order, until);
    if (!repaired) continue;
    if (sensitivities.length === 0) sensitivities = repaired.sensitivities;
    tried.push(...repaired.tried);
  }
  return { ...choose(tried, options), tried, untried, sensitivities };
}

/**
 * Makes the model, holds it to the gates, and times it where they hold.
 * @returns undefined where the recipe comes to what another has come to: some passes find nothing to do.
 */
async function attempt(
  name: string,
  steps: readonly Named[],
  excluded: readonly string[],
  order: SearchOrder,
  before: readonly Candidate[],
): Promise<Candidate | undefined> {
  const { subject, gates, passes, folder, signal } = order;
  const { model, records } = await build(subject.model, steps, passes, subject.context);
  if (before.some((other) => changesOf(other.records) === changesOf(records))) return undefined;
  if (model === subject.model) return unchanged(name, steps, records, order);
  const path = join(folder, 'candidate.onnx');
  const bytesAfter = await saveModel(model, path);
  const { rows, ...judgement } = await subject.judge(path);
  const measurement = { ...judgement, bytesBefore: subject.bytes, bytesAfter };
  const quality = checkQuality(gates, measurement);
  const base = { name, steps, model, records, excluded };
  const sizeRatio = bytesAfter / subject.bytes;
  const figures = { rows, ...judgement.difference };
  if (!holds(quality)) return { ...base, sizeRatio, figures, verdicts: quality };
  const latencies = await compareLatency(subject.path, path, subject.requests(), { rounds, signal });
  const verdicts = [...quality, ...checkLatency(gates, latencies)];
  return { ...base, sizeRatio, figures, verdicts, latencies };
}

function changesOf(records: readonly PassRecord[]): string {
  const changes = records.filter(({ changed }) => changed);
  return JSON.stringify(changes.map(({ name, options, applied }) => [name, options, applied]));
}

/** The model as it came: it is as fast as itself, and need not be measured to be so. */
async function unchanged(
  name: string,
  steps: readonly Named[],
  records: readonly PassRecord[],
  { subject, gates }: SearchOrder,
): Promise<Candidate> {
  const { rows, ...judgement } = await subject.judge(subject.path);
  const { model, bytes } = subject;
  const verdicts = checkQuality(gates, { ...judgement, bytesBefore: bytes, bytesAfter: bytes });
  const latencies = subject
    .requests()
    .map(({ batch }) => ({ batch, before: 0, after: 0, ratio: 1, low: 1, high: 1 }));
  const figures = { rows, ...judgement.difference };
  return { name, steps, model, records, excluded: [], sizeRatio: 1, figures, verdicts, latencies };
}

/** The same recipe without the layers that cost most; undefined when it changes no layers that can be left out. */
async function repair(
  failed: Candidate,
  order: SearchOrder,
  until: number,
): Promise<{ tried: Candidate[]; sensitivities: Sensitivity[] } | undefined> {
  const { subject, passes, signal, onTry } = order;
  // Layers left out make a model larger and slower: that mends its outputs only.
  const failing = failed.verdicts.filter(({ passed }) => !passed);
  if (failing.some(({ gate }) => gate === 'size' || gate === 'latency')) return undefined;
  const at = failed.steps.findIndex(({ options }) => 'exclude' in (options as object));
  const layers = (failed.records[at]?.applied ?? []).map(({ node }) => node);
  if (layers.length < 2) return undefined;
  onTry(`${failed.name}: sensitivity of ${layers.length} layers`);
  const before = await build(subject.model, failed.steps.slice(0, at), passes, subject.context);
  const step = failed.steps[at]!;
  const reach = { passes, context: subject.context, until };
  const sensitivities = await measureSensitivity(before.model, step, layers, subject.probe(), reach);
  const tried: Candidate[] = [];
  for (let count = 1; count < sensitivities.length && performance.now() < until; count *= 2) {
    signal.throwIfAborted();
    const excluded = sensitivities.slice(0, count).map(({ node }) => node);
    onTry(`${failed.name} without ${excluded.join(', ')}`);
    const options = { ...(step.options as object), exclude: excluded };
    const steps = failed.steps.map((each, index) => (index === at ? { ...each, options } : each));
    const candidate = await attempt(`${failed.name}, ${count} layers left`, steps, excluded, order, tried);
    if (!candidate) continue;
    tried.push(candidate);
    if (holds(candidate.verdicts)) break;
  }
  return { tried, sensitivities };
}

/** @param tried The first is the model as it came. When not even that passes, a gate names the layers of another. */
function choose(
  tried: readonly Candidate[],
  { goal }: AutoOptions,
): Pick<SearchResult, 'chosen' | 'reason' | 'front'> {
  const passing = tried.filter(({ verdicts, latencies }) => latencies && holds(verdicts));
  const front = frontOf(passing);
  if (front.length === 0) {
    const chosen = tried.find(({ steps }) => steps.some(({ name }) => name === 'quantize')) ?? tried.at(-1)!;
    return { chosen, reason: 'no recipe keeps to the gates', front };
  }
  const time = (one: Candidate): number => timeRatio(one.latencies!);
  if (goal === 'size') {
    const chosen = smallest(front);
    return { chosen, reason: `the smallest of ${passing.length} that keep to the gates`, front };
  }
  const least = Math.min(...front.map(time));
  const fast = front.filter((one) => time(one) <= least * alike.time);
  const chosen = smallest(fast);
  const reason = `the fastest of ${passing.length} that keep to the gates${fast.length > 1 ? ', and the smallest of those as fast' : ''}`;
  return { chosen, reason, front };
}

/** Of those that are alike in size the one that was tried first, which is the most promising. */
function smallest(candidates: readonly Candidate[]): Candidate {
  const least = Math.min(...candidates.map(({ sizeRatio }) => sizeRatio));
  return candidates.find(({ sizeRatio }) => sizeRatio <= least * alike.size)!;
}
