import { join } from 'node:path';
import type { Named } from '../../../config/named.js';
import { compareLatency, type Latency } from '../../../evaluate/index.js';
import { saveModel } from '../../../ir/onnx/save.js';
import type { Gates } from '../config.js';
import { checkLatency, checkLogLoss, checkQuality, failsSurely, type Verdict } from '../gates.js';
import type { PassRecord } from '../report.js';
import type { Judgement, Subject } from '../subject.js';
import { holds, type Candidate } from './candidate.js';
import type { Workshop } from './workshop.js';

/** A recipe as it is to be tried. */
export interface Attempt {
  readonly name: string;
  readonly steps: readonly Named[];
  readonly excluded: readonly string[];
}

/** Pairs of runs to tell candidates apart; the one that is chosen is timed again, longer. */
const rounds = 40;
/** Rows that tell good candidates from bad ones. */
const firstRows = 512;

/** Makes candidates, and holds them to the gates. */
export class Trial {
  constructor(
    private readonly means: {
      readonly subject: Subject;
      readonly gates: Gates;
      readonly workshop: Workshop;
      readonly folder: string;
    },
  ) {}

  /** The model as it came: it is as good and as fast as itself, and need not be measured to be so. */
  async unchanged(name: string, signal: AbortSignal): Promise<Candidate> {
    const { subject, gates } = this.means;
    const { model, bytes, path } = subject;
    const judgement = await subject.judge(path, { rows: firstRows, signal });
    const verdicts = checkQuality(gates, { ...judgement, bytesBefore: bytes, bytesAfter: bytes });
    const latencies = subject
      .requests()
      .map(({ batch }) => ({ batch, before: 0, after: 0, ratio: 1, low: 1, high: 1 }));
    const base = { name, steps: [], model, records: [], excluded: [], sizeRatio: 1 };
    return { ...base, judgement, verdicts, latencies, isSettled: true };
  }

  /**
   * Makes the model, judges it by some rows, by all of them where those leave it open, and times it where the gates hold.
   * @returns undefined where the recipe comes to what another has come to: some passes find nothing to do.
   */
  async attempt(
    { name, steps, excluded }: Attempt,
    before: readonly Candidate[],
    signal: AbortSignal,
  ): Promise<Candidate | undefined> {
    const { subject, gates, workshop } = this.means;
    const { model, records } = await workshop.build(subject.model, steps);
    if (before.some((other) => changesOf(other.records) === changesOf(records))) return undefined;
    const { path, bytes } = await this.write(model);
    const measure = async (rows: number): Promise<{ judgement: Judgement; verdicts: Verdict[] }> => {
      const judgement = await subject.judge(path, { rows, signal });
      const measurement = { ...judgement, bytesBefore: subject.bytes, bytesAfter: bytes };
      return { judgement, verdicts: [...checkQuality(gates, measurement), ...checkLogLoss(judgement)] };
    };
    let found = await measure(firstRows);
    const isOpen = !found.judgement.isWhole && !failsSurely(gates, found.judgement.paired);
    if (!holds(found.verdicts) && isOpen) found = await measure(Infinity);
    const base = { name, steps, model, records, excluded, isSettled: false };
    const made = { ...base, ...found, sizeRatio: bytes / subject.bytes };
    if (!holds(found.verdicts)) return made;
    const latencies = await this.time(path, signal, { rounds });
    return { ...made, latencies, verdicts: [...found.verdicts, ...checkLatency(gates, latencies)] };
  }

  /** Judges a candidate by all rows, and times it at length. */
  async settle(candidate: Candidate, signal: AbortSignal): Promise<Candidate> {
    const { subject, gates } = this.means;
    const { path, bytes } = await this.write(candidate.model);
    const { judgement: known } = candidate;
    const judgement = known.isWhole ? known : await subject.judge(path, { signal });
    const measurement = { ...judgement, bytesBefore: subject.bytes, bytesAfter: bytes };
    const quality = [...checkQuality(gates, measurement), ...checkLogLoss(judgement)];
    const settled = { ...candidate, judgement, verdicts: quality, isSettled: true };
    if (!holds(quality)) return settled;
    let latencies = await this.time(path, signal);
    // What else the machine did may have hit one of the two more: only what is seen twice fails.
    if (!holds(checkLatency(gates, latencies))) latencies = await this.time(path, signal);
    return { ...settled, latencies, verdicts: [...quality, ...checkLatency(gates, latencies)] };
  }

  private async write(model: Candidate['model']): Promise<{ path: string; bytes: number }> {
    const path = join(this.means.folder, 'candidate.onnx');
    return { path, bytes: await saveModel(model, path) };
  }

  private time(path: string, signal: AbortSignal, options: { rounds?: number } = {}): Promise<Latency[]> {
    const { subject, gates } = this.means;
    const limit = gates.latency.maxRatio;
    return compareLatency(subject.path, path, subject.requests(), { ...options, signal, limit });
  }
}

function changesOf(records: readonly PassRecord[]): string {
  const changes = records.filter(({ changed }) => changed);
  return JSON.stringify(changes.map(({ name, options, applied }) => [name, options, applied]));
}
