/** Values of a column that are held against classes, at most: a column with more does not give classes away. */
const mostValues = 4096;

/** How a feature and the target go together, found out row by row; inspect.ts says the same of columns in memory. */
export class Relation {
  /** Target by value, while each value has one. */
  #targets: Map<number, number> | undefined = new Map();
  #rows = 0;
  #meanA = 0;
  #meanB = 0;
  #both = 0;
  #squaresA = 0;
  #squaresB = 0;

  /** @param isAmount Whether the target is taken for a number; only then there is a correlation. */
  constructor(private readonly isAmount: boolean) {}

  add(value: number, target: number): void {
    if (this.#targets) {
      const known = this.#targets.get(value);
      if (known === undefined) {
        this.#targets.set(value, target);
        if (this.#targets.size > mostValues) this.#targets = undefined;
      } else if (known !== target) this.#targets = undefined;
    }
    if (!this.isAmount) return;
    this.#rows += 1;
    const [a, b] = [value - this.#meanA, target - this.#meanB];
    this.#meanA += a / this.#rows;
    this.#meanB += b / this.#rows;
    this.#both += a * (target - this.#meanB);
    this.#squaresA += a * (value - this.#meanA);
    this.#squaresB += b * (target - this.#meanB);
  }

  /** Whether each value stands for one class and the other way round. */
  isRenamed(classes: number): boolean {
    const targets = this.#targets;
    if (!targets || targets.size > classes) return false;
    return new Set(targets.values()).size === targets.size;
  }

  /** Pearson's r; NaN where a value is missing or nothing varies. */
  get correlation(): number {
    return this.#both / Math.sqrt(this.#squaresA * this.#squaresB);
  }
}
