import { copyFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Json } from '../../artifacts/index.js';
import {
  loadDataset,
  readSignature,
  type DataConfig,
  type Dataset,
  type Signature,
} from '../../data/index.js';
import { asDiskError, MaasError } from '../../errors.js';
import { compare, compareLatency, predict, score, type Latency } from '../../evaluate/index.js';
import type { Model } from '../../ir/graph.js';
import { loadModel } from '../../ir/onnx/load.js';
import { saveModel } from '../../ir/onnx/save.js';
import type { PassReport, StageRun } from '../../plugin/api.js';
import type { CompressOptions } from './config.js';
import { checkLatency, checkQuality, enforce, type ChangedLayer, type Verdict } from './gates.js';
import { tryLayerNoise } from './layer-noise.js';
import { roundFigures, writeReport, type PassRecord } from './report.js';

/** A compression under way: the model goes through the passes one by one, then is measured and held to the gates. */
export class Compression {
  private readonly passes: PassRecord[] = [];
  private readonly verdicts: Verdict[] = [];

  private constructor(
    private readonly run: StageRun<CompressOptions>,
    private readonly signature: Signature,
    private readonly dataset: Dataset,
    private model: Model,
  ) {}

  /**
   * Loads the model to compress and the rows to judge it by.
   * @throws MaasError MAAS_DATA_CHANGED when the data is not what the model was trained on.
   */
  static async open(run: StageRun<CompressOptions>): Promise<Compression> {
    const { project, inputs, signal } = run;
    const { root, seed, name, config } = project;
    const folder = inputs.model!.path;
    const signature = await readSignature(join(folder, 'signature.json'));
    const dataset = await loadDataset(config['data'] as DataConfig, { root, seed, name, signal });
    if (dataset.digest !== signature.data.digest) {
      const model = inputs.model!.digest.slice(0, 12);
      throw new MaasError('MAAS_DATA_CHANGED', `the data has changed since model ${model} was trained`);
    }
    return new Compression(run, signature, dataset, await loadModel(join(folder, 'model.onnx')));
  }

  /** Runs one pass over the model. */
  async apply({ name, options }: CompressOptions['passes'][number]): Promise<PassReport> {
    this.run.signal.throwIfAborted();
    const pass = this.run.registry.passes.get(name)!;
    const { signature, dataset } = this;
    // The rows that the gates judge by stay out of a pass's reach.
    const { train, validation } = dataset.splits;
    const calibration = { ...dataset, splits: { train, validation, test: validation } };
    const { model, report } = await pass.run(this.model, options, {
      signature,
      calibration: () => Promise.resolve(calibration),
      seed: this.run.project.seed,
    });
    this.model = model;
    this.passes.push({ name, version: pass.version, options: options as Json, ...report });
    if (!report.changed) this.run.result.notes.push(`${name} changed nothing`);
    return report;
  }

  /** Writes the compressed model, its signature as it was, and measures size and quality. */
  async measure(): Promise<void> {
    const { run, signature, dataset } = this;
    await saveModel(this.model, this.after);
    try {
      await copyFile(join(run.inputs.model!.path, 'signature.json'), join(run.out, 'signature.json'));
    } catch (error) {
      throw asDiskError(error, 'cannot write the model');
    }
    const { test } = dataset.splits;
    const reference = await predict(this.before, test, signature);
    run.signal.throwIfAborted();
    const predictions = await predict(this.after, test, signature);
    const difference = roundFigures(compare(reference, predictions));
    const measurement = {
      task: signature.task,
      difference,
      before: roundFigures(score(reference, test, signature)),
      after: roundFigures(score(predictions, test, signature)),
      bytesBefore: await sizeOfModel(this.before),
      bytesAfter: await sizeOfModel(this.after),
    };
    this.verdicts.push(...checkQuality(run.options.gates, measurement));
    const report = { rows: test.rows, passes: this.passes, measurement, verdicts: this.verdicts };
    const { text, metrics } = writeReport(report);
    Object.assign(run.result.metrics, metrics);
    await writeFile(join(run.out, 'report.json'), text);
  }

  /** Times the model against the one it was made from. */
  async time(): Promise<readonly Latency[]> {
    const { test } = this.dataset.splits;
    const latencies = await compareLatency(this.before, this.after, test, { signal: this.run.signal });
    this.verdicts.push(...checkLatency(this.run.options.gates, latencies));
    const rounded = latencies.map(({ batch, ...times }) => ({ batch, ...roundFigures(times) }));
    this.run.result.measured['latency'] = rounded;
    return latencies;
  }

  /** @throws MaasError MAAS_GATE_FAILED, which names the layers that the passes changed, the worst first. */
  async check(): Promise<readonly Verdict[]> {
    const applied = this.passes.flatMap(({ applied = [] }) => applied.map(({ node }) => node));
    const layers = [...new Set(applied)];
    const place = { file: this.run.project.configFile };
    enforce(this.verdicts, this.verdicts.every(({ passed }) => passed) ? [] : await this.rank(layers), place);
    return this.verdicts;
  }

  private async rank(layers: readonly string[]): Promise<ChangedLayer[]> {
    const noises = await tryLayerNoise(
      await loadModel(this.before),
      this.model,
      layers,
      this.dataset.splits.test,
    );
    const measured = new Set(noises.map(({ node }) => node));
    return [...noises, ...layers.filter((node) => !measured.has(node)).map((node) => ({ node }))];
  }

  private get before(): string {
    return join(this.run.inputs.model!.path, 'model.onnx');
  }

  private get after(): string {
    return join(this.run.out, 'model.onnx');
  }
}

/** Bytes of a model file and of the external data beside it. */
async function sizeOfModel(path: string): Promise<number> {
  const sizes = [path, `${path}.data`].map(async (file) => {
    try {
      return (await stat(file)).size;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' && file !== path) return 0;
      throw error;
    }
  });
  const [model = 0, data = 0] = await Promise.all(sizes);
  return model + data;
}
