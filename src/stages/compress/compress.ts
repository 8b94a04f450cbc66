import type { Named } from '../../config/named.js';
import type { ConfigPath } from '../../config/place.js';
import type { Place } from '../../errors.js';
import { compareLatency, type Latency } from '../../evaluate/index.js';
import type { Model } from '../../ir/graph.js';
import { saveModel } from '../../ir/onnx/save.js';
import type { Pass, PassReport } from '../../plugin/api.js';
import { measurePeakMemory } from '../../runtime/peak-memory.js';
import { applyPass } from './apply-passes.js';
import { search, type SearchResult } from './auto/search.js';
import type { CompressOptions } from './config.js';
import {
  checkLatency,
  checkMemory,
  checkOverflow,
  checkQuality,
  enforce,
  type ChangedLayer,
  type MemoryUse,
  type Verdict,
} from './gates.js';
import { tryLayerNoise } from './layer-noise.js';
import { findOverflows } from './overflow.js';
import { writeReport, type PassRecord, type WrittenReport } from './report.js';
import { trySaturated, type Saturated } from './saturation.js';
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
  /** Where a value of the config is written. */
  readonly placeOf?: ((path: ConfigPath) => Place) | undefined;
}

/** A compression under way: the model goes through the passes one by one, then is measured and held to the gates. */
export class Compression {
  readonly records: PassRecord[] = [];
  private readonly verdicts: Verdict[] = [];
  private model: Model;
  private found: SearchResult | undefined;
  private saturated: readonly Saturated[] | undefined;

  constructor(private readonly job: CompressJob) {
    this.model = job.subject.model;
  }

  /** Runs one pass over the model. */
  async apply(choice: Named): Promise<PassReport> {
    this.job.signal.throwIfAborted();
    const { subject, passes, options, placeOf } = this.job;
    const at = ['compress', 'passes', options.passes.indexOf(choice), choice.name];
    const context = {
      ...subject.context,
      ...(placeOf && { placeOf: (path: ConfigPath) => placeOf([...at, ...path]) }),
    };
    const { model, record } = await applyPass(this.model, choice, passes, context);
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

  /** Activations that leave their calibrated ranges on rows that the model is judged by. */
  async findSaturated(): Promise<readonly Saturated[]> {
    this.saturated ??= this.changed ? await trySaturated(this.model, this.job.subject.probe()) : [];
    return this.saturated;
  }

  /** Writes the compressed model, and measures its size and quality. */
  async measure(): Promise<WrittenReport> {
    const { subject, out, options } = this.job;
    const written = await saveModel(this.model, out);
    // Encoded anew, the same model may differ by some bytes.
    const bytesAfter = this.changed ? written : subject.bytes;
    const known = this.found?.chosen.judgement;
    // The same model has the same answers, and a search has asked for them already.
    const { rows, paired, ...judged } = known?.isWhole && this.changed ? known : await subject.judge(out);
    // Nothing is left to chance where nothing has changed.
    const judgement = { ...judged, ...(this.changed && paired && { paired }) };
    const measurement = { ...judgement, bytesBefore: subject.bytes, bytesAfter };
    this.verdicts.push(...checkQuality(options.gates, measurement));
    if (this.changed && subject.context.target === 'avx2') {
      const overflows = await findOverflows(this.model, subject.probe());
      this.verdicts.push(...checkOverflow(options.gates, overflows));
    }
    const { records: passes, verdicts, found } = this;
    const { target } = subject.context;
    return writeReport({ rows, passes, measurement, verdicts, target, ...(found && { found }) });
  }

  /** Times the model against the one it was made from. */
  async time(): Promise<readonly Latency[]> {
    const { subject, out, options, signal } = this.job;
    const measure = () => compareLatency(subject.path, out, subject.requests(), { signal });
    const chosen = this.found?.chosen;
    const known = this.changed && chosen?.isSettled ? chosen.latencies : undefined;
    if (known) {
      this.verdicts.push(...checkLatency(options.gates, known));
      return known;
    }
    let latencies = await measure();
    if (!this.changed) return latencies;
    // What else the machine did may have hit one of the two more: only what is seen twice fails.
    if (!checkLatency(options.gates, latencies).every(({ passed }) => passed)) latencies = await measure();
    this.verdicts.push(...checkLatency(options.gates, latencies));
    return latencies;
  }

  /** Measures what both models need at their peak. */
  async weigh(): Promise<MemoryUse> {
    const { subject, out, options, signal } = this.job;
    const requests = subject.requests().map(({ feeds }) => feeds);
    const before = await measurePeakMemory({ path: subject.path, requests }, signal);
    const after = await measurePeakMemory({ path: out, requests }, signal);
    if (this.changed) this.verdicts.push(...checkMemory(options.gates, { before, after }));
    return { before, after };
  }

  /** @throws MaasError MAAS_GATE_FAILED, which names the layers that the passes changed, the worst first. */
  async check(): Promise<readonly Verdict[]> {
    const applied = this.records.flatMap(({ applied = [] }) => applied.map(({ node }) => node));
    const layers = [...new Set(applied)];
    const passed = this.verdicts.every((verdict) => verdict.passed);
    const cause = passed
      ? { layers: [], saturated: [] }
      : { layers: await this.rank(layers), saturated: await this.findSaturated() };
    enforce(this.verdicts, cause, this.job.place);
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
