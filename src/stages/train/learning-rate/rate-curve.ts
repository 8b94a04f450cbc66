/** The loss of one batch, taken at a learning rate. */
export interface RatePoint {
  readonly learningRate: number;
  readonly loss: number;
  /** The mean of it and of those before it, the nearest counting most. */
  readonly smoothed: number;
}

/** Share of the mean that stays with each point. */
const inertia = 0.9;
/** Points that are too few to judge by. */
const leastPoints = 10;
/** What falls less than this share of the whole fall does not: a bump that smoothing lets fade falls at every point. */
const leastFall = 1 / 500;
/** A loss so many times the least one has left the valley for good. */
const departure = 4;

/** Losses as they come, smoothed: an exponential mean without the pull of its beginning (as Adam's). */
export class RateCurve {
  readonly points: RatePoint[] = [];
  #mean = 0;

  add(learningRate: number, loss: number): void {
    this.#mean = inertia * this.#mean + (1 - inertia) * loss;
    const smoothed = this.#mean / (1 - inertia ** (this.points.length + 1));
    this.points.push({ learningRate, loss, smoothed });
  }

  /** Whether the loss has grown so much that greater rates have nothing to tell. */
  get hasLeft(): boolean {
    const { points } = this;
    if (points.length < leastPoints) return false;
    return points.at(-1)!.smoothed > departure * Math.min(...points.map(({ smoothed }) => smoothed));
  }

  /**
   * A rate in the middle of the valley: of the longest sequence of losses that fall, the point half-way (`valley` of
   * fastai's learning rate finder). Undefined where the loss never falls.
   */
  suggest(): number | undefined {
    const losses = this.points.map(({ smoothed }) => smoothed);
    if (losses.length < leastPoints) return undefined;
    const least = losses.indexOf(Math.min(...losses));
    const margin = leastFall * (Math.max(...losses.slice(0, least + 1)) - losses[least]!);
    // Length of the longest falling sequence that ends at each point, which may leave points out.
    const lengths = losses.map(() => 1);
    let end = 0;
    for (let at = 1; at < losses.length; at++) {
      for (let before = 0; before < at; before++) {
        if (losses[at]! < losses[before]! - margin && lengths[at]! <= lengths[before]!) {
          lengths[at] = lengths[before]! + 1;
        }
      }
      if (lengths[at]! > lengths[end]!) end = at;
    }
    if (lengths[end]! < leastPoints) return undefined;
    const start = end - lengths[end]! + 1;
    return Number(this.points[Math.round((start + end) / 2)]!.learningRate.toPrecision(2));
  }
}
