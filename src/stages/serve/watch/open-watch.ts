import { resolve } from 'node:path';
import type { Feeds } from '../../../runtime/session.js';
import type { ServeOptions } from '../config.js';
import type { LoadedModel } from '../loaded-model.js';
import type { Metrics } from '../metrics.js';
import type { ModelFiles } from '../model-files.js';
import type { Onlooker } from './watch-model.js';

export interface Watch {
  /** The model as it is served: with those who look on, if any do. */
  attend(model: LoadedModel, files: ModelFiles): LoadedModel;
  close(): Promise<void>;
}

interface Surroundings {
  readonly root: string;
  readonly metrics: Pick<Metrics, 'sampled' | 'sampleDropped'>;
  readonly warn: (text: string) => void;
  readonly onBug: (error: unknown) => void;
}

const elementsOf = (arrays: Feeds): number =>
  Object.values(arrays).reduce((sum, { data }) => sum + data.length, 0);

/** Milliseconds between two warnings of samples that were dropped. */
const warnInterval = 60_000;

/**
 * Sets up what looks at requests beside answering them; undefined where nothing does, so that none of it is loaded.
 * @throws MaasError MAAS_USAGE when the file of samples cannot be written.
 */
export async function openWatch(
  { sample, drift }: Pick<ServeOptions, 'sample' | 'drift'>,
  { root, metrics, warn, onBug }: Surroundings,
): Promise<Watch | undefined> {
  if (!sample && !drift) return undefined;
  const { describeSample, watchModel } = await import('./watch-model.js');
  let warned = -Infinity;
  const log =
    sample &&
    (await (
      await import('./sample-log.js')
    ).SampleLog.open({
      file: resolve(root, sample.file),
      maxBytes: sample.maxBytes,
      onDropped: (lines, error) => {
        metrics.sampleDropped(lines);
        if (!error || performance.now() - warned < warnInterval) return;
        warned = performance.now();
        warn(`samples are not written, and counted in maas_samples_dropped_total: ${error.message}`);
      },
    }));
  const { DriftWatch } = await import('./drift.js');
  return {
    attend(model, { signature, reference }) {
      const onlookers: Onlooker[] = [];
      const watching = drift && signature && reference && new DriftWatch(signature, reference, drift);
      if (watching) onlookers.push(watching.see.bind(watching));
      else if (drift && signature)
        warn(`${model.name} has no reference.json: deploy it again to see its drift`);
      if (log) {
        onlookers.push((inputs, outputs) => {
          if (Math.random() >= sample.rate) return;
          metrics.sampled(1);
          // Printed, each takes two bytes at least: what cannot fit is not printed.
          if (4 * (elementsOf(inputs) + elementsOf(outputs)) > sample.maxBytes) {
            metrics.sampleDropped(1);
            return;
          }
          log.write(describeSample(model, inputs, outputs));
        });
      }
      return onlookers.length === 0 ? model : watchModel(model, onlookers, onBug, watching);
    },
    close: async () => log?.close(),
  };
}
