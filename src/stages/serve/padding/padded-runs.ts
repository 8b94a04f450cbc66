import type { Feeds } from '../../../runtime/session.js';
import { runJoined, type Outputs, type RunFeeds, type RunTogether } from '../batcher.js';
import type { CheckedInputs } from '../check-inputs.js';
import { findChange } from './find-change.js';
import type { Padder } from './padder.js';

/** Elements of the inputs that are padded: what callers sent, and what fills up their runs. */
export type ElementKind = 'data' | 'padding';

export interface PaddedRunsOptions {
  /** A number x of an answer may be off by this × (1 + |x|), and by no more than this × the largest. */
  readonly tolerance: number;
  readonly count: (kind: ElementKind, elements: number) => void;
  /** Told why nothing is padded from now on. */
  readonly onRefused: (reason: string) => void;
}

/** The first padded runs are held against what each request gives alone, and then one in so many. */
const [firstChecks, oneIn] = [8, 1000];

/**
 * Answers requests of different lengths together. A model was tried with few rows, and callers send others: of some runs each
 * request is run alone, too, and answered so; with the first that differs, padding is over.
 */
export class PaddedRuns {
  readonly #padder: Padder;
  readonly #options: PaddedRunsOptions;
  #runs = 0;
  #refused = false;

  constructor(padder: Padder, options: PaddedRunsOptions) {
    this.#padder = padder;
    this.#options = options;
  }

  /** Names of the dimensions that are padded. */
  get dimensions(): string[] {
    return this.#refused ? [] : this.#padder.plan.dimensions.map(({ name }) => name);
  }

  /** Gives those that may share a run the same key. */
  admit(inputs: CheckedInputs): CheckedInputs {
    if (this.#refused) return inputs;
    this.#options.count('data', this.#padder.countElements(inputs.feeds));
    return { ...inputs, shapeKey: this.#padder.keyOf(inputs.feeds) };
  }

  readonly runTogether: RunTogether = async (parts, sizes, run) => {
    if (this.#padder.areAlike(parts)) return runJoined(parts, sizes, run);
    // Those that came before padding was over.
    if (this.#refused) return runEach(parts, sizes, run);
    const rows = sizes.reduce((sum, size) => sum + size, 0);
    const joined = this.#padder.join(parts);
    const sent = parts.reduce((sum, part) => sum + this.#padder.countElements(part), 0);
    this.#options.count('padding', this.#padder.countElements(joined) - sent);
    const answers = this.#padder.split(await run(joined, rows, true), parts, sizes);
    if (!answers) this.#refuse('its answer to a padded run has another shape');
    else if (!this.#isToCheck()) return answers;
    const alone = await runEach(parts, sizes, run);
    const change = answers && this.#findChange(answers, alone);
    if (change !== undefined) this.#refuse(`padding changes an answer (${change})`);
    return alone;
  };

  #isToCheck(): boolean {
    const run = this.#runs++;
    return run < firstChecks || run % oneIn === 0;
  }

  #findChange(answers: readonly Outputs[], alone: readonly Outputs[]): string | undefined {
    const { tolerance } = this.#options;
    return alone.map((answer, index) => findChange(answers[index]!, answer, tolerance)).find(Boolean);
  }

  #refuse(reason: string): void {
    if (this.#refused) return;
    this.#refused = true;
    this.#options.onRefused(reason);
  }
}

async function runEach(parts: readonly Feeds[], sizes: readonly number[], run: RunFeeds): Promise<Outputs[]> {
  const answers: Outputs[] = [];
  for (const [index, part] of parts.entries()) answers.push(await run(part, sizes[index]!));
  return answers;
}
