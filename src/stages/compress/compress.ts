import type { Named } from '../../config/named.js';
import type { Place } from '../../errors.js';
import { compareLatency, type Latency } from '../../evaluate/index.js';
import type { Model } from '../../ir/graph.js';
import { saveModel } from '../../ir/onnx/save.js';
import type { Pass, PassReport } from '../../plugin/api.js';
import { applyPass } from './apply-passes.js';
import { search, type SearchResult } from './auto/search.js';
import type { CompressOptions } from './config.js';
import { checkLatency, checkQuality, enforce, type ChangedLayer, type Verdict } from './gates.js';
import { tryLayerNoise } from './layer-noise.js';
import { writeReport, type PassRecord, type WrittenReport } from './report.js';
import type { Subject } from './subject.js';

export interface CompressJob {
  readonly subject: Subject;
  readonly options: CompressOptions;
  readonly passes: ReadonlyMap<string, Pass>;
  /** The file to write the compressed model to. */
  readonly out: string;
  readonly signal: AbortSignal;
  /** Where the gates are written. */
  readonly place?: Place;
}

/** A compression under way: the model goes through the passes one by one, then is measured and held to the gates. */
export class Compression {
  readonly records: PassRecord[] = [];
  private readonly verdicts: Verdict[] = [];
  private model: Model;
  private found: SearchResult | undefined;

  constructor(private readonly job: CompressJob) {
    this.model = job.subject.model;
  }

  /** Runs one pass over the model. */
  async apply(choice: Named): Promise<PassReport> {
    this.job.signal.throwIfAborted();
    const { subject, passes } = this.job;
    const { model, record } = await applyPass(this.model, choice, passes, subject.context);
    this.model = model;
    this.records.push(record);
    return record;
  }

  /** Tries recipes, and goes on with the one that is chosen. */
  async search(folder: string, onTry: (name: string) => void): Promise<SearchResult> {
    const { subject, options, passes, signal } = this.job;
    const { gates, auto } = options;
    const found = await search({ subject, options: auto!, gates, passes, folder, signal, onTry });
    this.model = found.chosen.model;
    this.records.push(...found.chosen.records);
    this.found = found;
    return found;
  }

  /** Writes the compressed model, and measures its size and quality. */
  async measure(): Promise<WrittenReport> {
    const { subject, out, options } = this.job;
    const written = await saveModel(this.model, out);
    // Encoded anew, the same model may differ by some bytes.
    const bytesAfter = this.changed ? written : subject.bytes;
    const { rows, ...judgement } = await subject.judge(out);
    const measurement = { ...judgement, bytesBefore: subject.bytes, bytesAfter };
    this.verdicts.push(...checkQuality(options.gates, measurement));
    const { records: passes, verdicts, found } = this;
    const { target } = subject.context;
    return writeReport({ rows, passes, measurement, verdicts, target, ...(found && { found }) });
  }

  /** Times the model against the one it was made from. */
  async time(): Promise<readonly Latency[]> {
    const { subject, out, options, signal } = this.job;
    const measure = () => compareLatency(subject.path, out, subject.requests(), { signal });
    let latencies = await measure();
    if (!this.changed) return latencies;
    // What else the machine did may have hit one of the two more: only what is seen twice fails.
    if (!checkLatency(options.gates, latencies).every(({ passed }) => passed)) latencies = await measure();
    this.verdicts.push(...checkLatency(options.gates, latencies));
    return latencies;
  }

  /** @throws MaasError MAAS_GATE_FAILED, which names the layers that the passes changed, the worst first. */
  async check(): Promise<readonly Verdict[]> {
    const applied = this.records.flatMap(({ applied = [] }) => applied.map(({ node }) => node));
    const layers = [...new Set(applied)];
    const passed = this.verdicts.every((verdict) => verdict.passed);
    enforce(this.verdicts, passed ? [] : await this.rank(layers), this.job.place);
    return this.verdicts;
  }

  private get changed(): boolean {
    return this.model !== this.job.subject.model;
  }

  private async rank(layers: readonly string[]): Promise<ChangedLayer[]> {
    const { subject } = this.job;
    const noises = await tryLayerNoise(subject.model, this.model, layers, subject.probe());
    const measured = new Set(noises.map(({ node }) => node));
    return [...noises, ...layers.filter((node) => !measured.has(node)).map((node) => ({ node }))];
  }
}
