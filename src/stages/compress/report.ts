import { canonicalJson, type Json } from '../../artifacts/index.js';
import type { PassReport } from '../../plugin/api.js';
import type { SearchResult } from './auto/search.js';
import type { Measurement, Verdict } from './gates.js';

export interface PassRecord extends PassReport {
  readonly name: string;
  readonly version: number;
  readonly options: Json;
}

export interface Report {
  /** Rows of the test split. */
  readonly rows: number;
  readonly passes: readonly PassRecord[];
  readonly measurement: Measurement;
  /** Of the gates whose figures are reproducible. */
  readonly verdicts: readonly Verdict[];
  /** Processors that the model was made for. */
  readonly target?: string | undefined;
  /** Of `auto`. */
  readonly found?: SearchResult;
}

/** The digits of a figure that another build of the same kernels would give too. */
const digits = 6;

export function roundFigures<Figures extends Readonly<Record<string, number>>>(figures: Figures): Figures {
  return Object.fromEntries(
    Object.entries(figures).map(([name, value]) => [name, Number(value.toPrecision(digits))]),
  ) as Figures;
}

/** `report.json`, the same bytes for the same compression, and the figures that go in the manifest. */
export interface WrittenReport {
  readonly text: string;
  readonly metrics: Record<string, Json>;
}

export function writeReport(report: Report): WrittenReport {
  const { rows, passes, measurement, verdicts, target, found } = report;
  const { before, after, difference, bytesBefore, bytesAfter } = measurement;
  const size = {
    before: bytesBefore,
    after: bytesAfter,
    ...roundFigures({ ratio: bytesAfter / bytesBefore }),
  };
  const content = {
    schemaVersion: 1,
    rows,
    size,
    figures: { before: toJson(before), after: toJson(after) },
    difference: toJson(difference),
    gates: verdicts.map(({ gate, option, limit, figure, passed }) => ({
      gate,
      option,
      limit,
      passed,
      ...toJson(roundFigures({ figure })),
    })),
    passes: passes.map(({ name, version, options, changed, applied = [], skipped, notes = [] }) => ({
      name,
      version,
      options,
      changed,
      applied,
      skipped,
      notes,
    })),
    ...(found && { auto: describeSearch(found) }),
  };
  const text = `${JSON.stringify(JSON.parse(canonicalJson(content)), undefined, 2)}\n`;
  const metrics = {
    ...toJson(after),
    before: toJson(before),
    ...toJson(difference),
    bytes: bytesAfter,
    sizeRatio: size.ratio,
    ...(target !== undefined && { target }),
  };
  return { text, metrics };
}

/** Numbers that JSON has no form for become null: a signal to noise of infinity means that nothing differs. */
function toJson(figures: Readonly<Record<string, number>>): Record<string, number | null> {
  return Object.fromEntries(
    Object.entries(figures).map(([name, value]) => [name, Number.isFinite(value) ? value : null]),
  );
}

/** What can be had again: which recipes were tried and what came of them, but for their times. */
function describeSearch({ chosen, tried, untried, sensitivities }: SearchResult): Json {
  return {
    chosen: chosen.name,
    untried: untried.map(({ name }) => name),
    tried: tried.map(({ name, excluded, sizeRatio, judgement: { rows, difference }, verdicts }) => ({
      name,
      excluded: [...excluded],
      ...toJson(roundFigures({ sizeRatio })),
      figures: toJson({ rows, ...difference }),
      failed: verdicts.filter(({ passed, gate }) => !passed && gate !== 'latency').map(({ gate }) => gate),
    })),
    sensitivities: sensitivities.map(({ node, ...figures }) => ({ node, ...toJson(roundFigures(figures)) })),
  };
}
