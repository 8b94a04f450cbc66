import { digestOf } from '../../../artifacts/index.js';
import { placeIn } from '../../../config/index.js';
import { MaasError } from '../../../errors.js';
import type { Training, TrainingRun } from '../train.js';
import { RateCurve, type RatePoint } from './rate-curve.js';

/** Rates that are tried, from the least to the greatest, each a little greater than the one before it. */
const [least, greatest, tries] = [1e-7, 10, 100];

export interface FoundRate {
  /** What the config has. */
  readonly configured: number;
  /** Path of the learning rate in the config. */
  readonly setting: string;
  /** Undefined when no rate made the loss fall. */
  readonly suggestion: number | undefined;
  readonly points: readonly RatePoint[];
}

/**
 * The learning rate range test (Smith, arXiv:1506.01186): trains the first weights for a hundred steps while the rate
 * rises, until the loss leaves for good. Nothing of it is kept.
 * @throws MaasError MAAS_USAGE when the engine does not tell the losses of its steps.
 */
export async function findRate(
  { project, options, store, signal }: TrainingRun,
  training: Training,
  onPoint: (points: readonly RatePoint[]) => void,
): Promise<FoundRate> {
  const { name: optimizer, learningRate } = training.optimizer;
  const key = digestOf('find-lr');
  const unlock = await store!.lock('train');
  const over = new AbortController();
  const curve = new RateCurve();
  const rateAt = (at: number): number => least * (greatest / least) ** (at / (tries - 1));
  try {
    await store!.removeWork('train', key);
    const updates = Math.ceil(training.dataset.splits.train.rows / options.batchSize / options.accumulate);
    await training
      .attempt({
        work: await store!.work('train', key),
        epochs: Math.ceil(tries / updates) + 1,
        metrics: [],
        earlyStopping: undefined,
        ema: undefined,
        optimizer: { ...training.optimizer, learningRate: least },
        schedule: {
          name: 'exponential',
          every: (tries - 1) / updates,
          factor: greatest / least,
          floor: 0,
          warmup: 0,
        },
        signal: AbortSignal.any([signal, over.signal]),
        onStep: (step, loss) => {
          if (over.signal.aborted || step % options.accumulate !== 0) return;
          curve.add(rateAt(step / options.accumulate - 1), loss);
          onPoint(curve.points);
          if (curve.hasLeft || curve.points.length === tries) over.abort();
        },
      })
      .catch((error: unknown) => {
        const code = error instanceof MaasError ? error.code : undefined;
        // A loss that is no number any more has left for good, too.
        if (code === 'MAAS_TRAIN_DIVERGED' || (code === 'MAAS_INTERRUPTED' && !signal.aborted)) return;
        throw error;
      });
  } finally {
    await store!.removeWork('train', key);
    await unlock();
  }
  if (curve.points.length === 0) {
    throw new MaasError(
      'MAAS_USAGE',
      `the ${options.engine.name} engine does not tell the loss of each step`,
      {
        place: placeIn(project, ['train', 'engine']),
        hint: 'Look for a learning rate with --set train.engine=onnx.',
      },
    );
  }
  return {
    configured: learningRate,
    setting: `train.optimizer.${optimizer}.learningRate`,
    suggestion: curve.suggest(),
    points: curve.points,
  };
}
