import { kindOf, whyMissing, whyNoNumber } from '../cells.js';
import type { Misfit } from '../columns.js';
import { cellType, type CellType, type DataConfig } from '../config.js';
import type { FillRule } from '../missing.js';
import { fillRuleOf, missingTest } from '../missing.js';
import { MaasError } from '../../errors.js';
import type { Fields } from '../readers/index.js';
import { NumberSet } from './number-set.js';
import { readNumber } from './read-number.js';
import { TextIndex } from './text-index.js';

/** Different texts of a column that are kept in memory, at most. */
export const mostTexts = 2 ** 20;

/** A text, and what is known of it. */
interface Entry {
  readonly text: string;
  readonly index: number;
  readonly kind: 'number' | 'text' | 'other';
  readonly isMissing: boolean;
  readonly problem: string | undefined;
  rows: number;
}

export interface TallyOptions {
  readonly config: DataConfig;
  readonly path: string;
  /** Different numbers that are told apart, at most. */
  readonly mostNumbers: number;
}

/** What is found out about a column while its cells go by. */
export class Tally {
  /** Cells that are numbers, and words, whatever the column is taken for. */
  numbers = 0;
  words = 0;
  missing = 0;
  misfit: (Misfit & { count: number }) | undefined;
  readonly written = new Set<string>();
  /** Texts by their index in what is stored, and rows with each. */
  readonly texts = new Map<string, Entry>();
  /** Different numbers, and NaN if a value is missing; undefined when there are too many. */
  distinct: NumberSet | undefined = new NumberSet();
  min = Infinity;
  max = -Infinity;
  sum = 0;
  readonly rule: FillRule | MaasError;
  /** The texts again, by their bytes. */
  readonly #index = new TextIndex();
  readonly #entries: Entry[] = [];
  readonly #markers: ReadonlySet<string>;
  readonly #markedNumbers: ReadonlySet<number>;
  readonly #hasMarkers: boolean;
  readonly #isMissing: (cell: string) => boolean;

  constructor(
    readonly name: string,
    readonly type: CellType,
    private readonly options: TallyOptions,
  ) {
    const { config, path } = options;
    this.rule = name === config.target ? 'error' : ruleOrError(name, type, config, path);
    this.#markers = new Set(config.missing.markers?.map(String));
    this.#markedNumbers = new Set([...this.#markers].map(Number));
    this.#hasMarkers = this.#markers.size > 0;
    this.#isMissing = missingTest(type, config);
  }

  /** Whether the config names the column's rule, and means to fill. */
  get isNamed(): boolean {
    return this.rule !== 'error' && this.options.config.missing.columns?.[this.name] !== undefined;
  }

  /** Takes a cell; returns what is stored of it: its number (NaN if there is none), or the index of its text. */
  take(fields: Fields, index: number, row: number): number {
    if (this.type === 'category') return this.#takeText(fields, index, row);
    if (fields.escaped.size === 0 || !fields.escaped.has(index)) {
      const value = readNumber(fields.bytes, fields.starts[index]!, fields.ends[index]!);
      if (value < 1e30 && value > -1e30 && !(this.#hasMarkers && this.#markedNumbers.has(value))) {
        this.numbers += 1;
        return this.#count(value);
      }
    }
    return this.#takeNumber(fields.text(index), row);
  }

  #takeNumber(cell: string, row: number): number {
    const kind = kindOf(cell);
    if (kind === 'number' || kind === 'infinite') this.numbers += 1;
    else if (kind === 'text') this.words += 1;
    if (kind === 'missing' || this.#markers.has(cell)) {
      this.missing += 1;
      this.written.add(cell);
      if (this.rule === 'error') this.#misfit(row, cell, whyMissing(cell));
      return this.#count(NaN);
    }
    const problem = whyNoNumber(cell);
    if (problem !== undefined) {
      this.#misfit(row, cell, problem);
      return NaN;
    }
    return this.#count(Number(cell));
  }

  #count(value: number): number {
    const { distinct } = this;
    if (distinct?.add(value) && distinct.size > this.options.mostNumbers) this.distinct = undefined;
    if (value === value) {
      if (value < this.min) this.min = value;
      if (value > this.max) this.max = value;
      this.sum += value;
    }
    return value;
  }

  #takeText(fields: Fields, index: number, row: number): number {
    const entry = this.#findText(fields, index);
    entry.rows += 1;
    if (entry.kind === 'number') this.numbers += 1;
    else if (entry.kind === 'text') this.words += 1;
    if (entry.isMissing) this.missing += 1;
    if (entry.problem !== undefined) this.#misfit(row, entry.text, entry.problem);
    return entry.index;
  }

  #findText(fields: Fields, index: number): Entry {
    let { bytes } = fields;
    let [from, to] = [fields.starts[index]!, fields.ends[index]!];
    if (fields.escaped.size > 0 && fields.escaped.has(index)) {
      bytes = Buffer.from(fields.text(index));
      [from, to] = [0, bytes.length];
    }
    const found = this.#index.find(bytes, from, to);
    if (found !== -1) return this.#entries[found]!;
    const entry = this.#addText(fields.text(index));
    this.#index.add(bytes, from, to);
    this.#entries.push(entry);
    return entry;
  }

  #addText(cell: string): Entry {
    const { texts, options, name } = this;
    if (texts.size === mostTexts) {
      throw new MaasError('MAAS_DATA_COLUMN', `column "${name}" has more than ${mostTexts} different texts`, {
        place: { file: options.path },
        hint: 'List it under data.exclude: so many do not fit into the model.',
      });
    }
    const kind = kindOf(cell);
    const isMissing = this.#isMissing(cell);
    if (isMissing) this.written.add(cell);
    const entry: Entry = {
      text: cell,
      index: texts.size,
      kind: kind === 'infinite' ? 'number' : kind === 'missing' ? 'other' : kind,
      isMissing,
      problem: isMissing && this.rule === 'error' ? whyMissing(cell) : undefined,
      rows: 0,
    };
    texts.set(cell, entry);
    return entry;
  }

  #misfit(row: number, cell: string, problem: string): void {
    if (this.misfit) this.misfit.count += 1;
    else this.misfit = { row, cell, problem, count: 1 };
  }
}

/** The rule may be for another type because the type is not known for sure yet. */
function ruleOrError(name: string, type: CellType, config: DataConfig, path: string): FillRule | MaasError {
  try {
    return fillRuleOf(name, type, config, path);
  } catch (error) {
    return error as MaasError;
  }
}

/** Whether a row has no target and the config says to leave such rows out. */
export function dropTest(config: DataConfig): ((cell: string) => boolean) | undefined {
  if (config.missing.target !== 'drop') return undefined;
  return missingTest(cellType(config, config.target) ?? 'category', config);
}
