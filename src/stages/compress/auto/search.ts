import type { Named } from '../../../config/named.js';
import { MaasError } from '../../../errors.js';
import type { Pass } from '../../../plugin/api.js';
import type { AutoOptions, Gates } from '../config.js';
import { candidateRecipes, kindOf, readRecipe, type Recipe } from '../recipes.js';
import type { Subject } from '../subject.js';
import { holds, keepsQuality, type Candidate } from './candidate.js';
import { choose, type Choice } from './choose.js';
import { measureSensitivity, type Sensitivity } from './sensitivity.js';
import { Trial } from './trial.js';
import { Workshop } from './workshop.js';

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

export interface SearchResult extends Choice {
  /** In the order in which they were tried. */
  readonly tried: readonly Candidate[];
  /** Recipes that came to nothing. */
  readonly untried: readonly Untried[];
  /** Of the layers of the recipe whose gates failed first, the most sensitive first. */
  readonly sensitivities: readonly Sensitivity[];
}

export interface Untried {
  readonly name: string;
  /** Why not; undefined where there was no time. */
  readonly reason?: string;
}

/** Timers take no longer spans. */
const longest = 2 ** 31 - 1;

/**
 * Tries the recipes that suit the model, most promising first, and keeps to the gates: where one fails, the layers that
 * move the outputs most stay as they are, one, two, four, … of them, until it holds. Of those that pass, the fastest or
 * the smallest is chosen. Candidates are told apart by some of the rows; the one that is chosen is judged by all of them,
 * and where it fails, the next best takes its place.
 */
export async function search(order: SearchOrder): Promise<SearchResult> {
  const { subject, options, passes, signal, onTry } = order;
  const end = AbortSignal.timeout(Math.min(longest, Math.ceil(options.budget * 1000)));
  const until = AbortSignal.any([signal, end]);
  const workshop = new Workshop(passes, subject.context, until);
  const trial = new Trial({ ...order, workshop });
  const hasData = (await subject.context.calibration(1)).length > 0;
  const canTrain = hasData && subject.context.trainer !== undefined;
  const recipes = candidateRecipes(kindOf(subject.model), { hasData, canTrain }, options.goal);
  const tried: Candidate[] = [await trial.unchanged(recipes[0]!.name, signal)];
  const untried: Untried[] = [];
  let sensitivities: readonly Sensitivity[] = [];
  const tryRecipe = async ({ name, steps }: Recipe): Promise<void> => {
    const first = await trial.attempt({ name, steps: readRecipe(steps, passes), excluded: [] }, tried, until);
    if (!first) return;
    tried.push(first);
    if (holds(first.verdicts)) return;
    const ranked = await repair(first, tried, { ...order, workshop, trial, until });
    if (sensitivities.length === 0) sensitivities = ranked;
  };
  const rest = recipes.slice(1);
  for (const [at, recipe] of rest.entries()) {
    signal.throwIfAborted();
    if (!isWorthwhile(recipe, tried)) continue;
    if (!end.aborted) {
      onTry(`${at + 1} of ${rest.length}: ${recipe.name}`);
      try {
        await tryRecipe(recipe);
        continue;
      } catch (error) {
        signal.throwIfAborted();
        if (!end.aborted) {
          // A model that cannot be trained further, say: other recipes may do with it.
          if (!(error instanceof MaasError)) throw error;
          untried.push({ name: recipe.name, reason: error.message });
          continue;
        }
        // Stopped in the midst of it: what came before is what there is to choose from.
      }
    }
    untried.push({ name: recipe.name });
  }
  return { ...(await settle(tried, trial, order)), tried, untried, sensitivities };
}

function isWorthwhile({ where }: Recipe, tried: readonly Candidate[]): boolean {
  if (!where) return true;
  const known = tried.filter(({ name }) => where.recipes.includes(name));
  return known.length > 0 && known.some(keepsQuality) === where.held;
}

/** Chooses until what is chosen holds by all rows. The model as it came always does, or no other. */
async function settle(
  tried: Candidate[],
  trial: Trial,
  { options: { goal }, onTry, signal }: SearchOrder,
): Promise<Choice> {
  for (;;) {
    const choice = choose(tried, goal);
    if (choice.chosen.isSettled) return choice;
    onTry(`all rows: ${choice.chosen.name}`);
    tried[tried.indexOf(choice.chosen)] = await trial.settle(choice.chosen, signal);
  }
}

interface Repair extends SearchOrder {
  readonly workshop: Workshop;
  readonly trial: Trial;
  readonly until: AbortSignal;
}

/**
 * Tries the same recipe without the layers that cost most, and adds what comes of it.
 * @returns how sensitive the layers are; nothing when it changes none that can be left out.
 */
async function repair(
  failed: Candidate,
  tried: Candidate[],
  { subject, workshop, trial, until, onTry }: Repair,
): Promise<readonly Sensitivity[]> {
  // Layers left out make a model larger and slower: that mends its outputs only.
  const failing = failed.verdicts.filter(({ passed }) => !passed);
  if (failing.some(({ gate }) => gate === 'size' || gate === 'latency')) return [];
  const at = failed.steps.findIndex(({ name }) => name === 'quantize');
  const layers = (failed.records[at]?.applied ?? []).map(({ node }) => node);
  if (layers.length < 2) return [];
  onTry(`${failed.name}: sensitivity of ${layers.length} layers`);
  const before = await workshop.build(subject.model, failed.steps.slice(0, at));
  const step: Named = failed.steps[at]!;
  const isOver = (): boolean => until.aborted;
  const sensitivities = await measureSensitivity(before.model, step, layers, subject.probe(), {
    workshop,
    isOver,
  });
  for (let count = 1; count < sensitivities.length && !isOver(); count *= 2) {
    const excluded = sensitivities.slice(0, count).map(({ node }) => node);
    onTry(`${failed.name} without ${excluded.join(', ')}`);
    const options = { ...(step.options as object), exclude: excluded };
    const steps = failed.steps.map((each, index) => (index === at ? { ...each, options } : each));
    const name = `${failed.name}, ${count} ${count === 1 ? 'layer' : 'layers'} left`;
    const candidate = await trial.attempt({ name, steps, excluded }, tried, until);
    if (!candidate) continue;
    tried.push(candidate);
    if (holds(candidate.verdicts)) break;
  }
  return sensitivities;
}
