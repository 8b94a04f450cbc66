import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { MaasError } from '../../errors.js';
import { textFeature, type DataConfig } from '../config.js';
import type { Dataset, SplitName, Table } from '../dataset.js';
import { assembleSignature } from '../describe-signature.js';
import { describeTexts } from '../describe-schema.js';
import { checkSource, expandedSize, watchSource } from '../readers/index.js';
import { notUtf8 } from '../readers/not-utf8.js';
import { streamSource } from '../readers/open-source.js';
import type { TokenIds } from '../transforms/text-ids.js';

export interface TextOptions {
  /** Of the dataset, made from the text's own sha256. */
  readonly digest: (sha256: string) => string;
  readonly name: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads running text for a model that goes on with it. A row is a window of `context` characters, its class is the
 * character after it; the text's beginning is trained on, its end is held out. The windows keep their order.
 * @throws MaasError MAAS_DATA_MISSING, MAAS_DATA_EMPTY, MAAS_DATA_SYNTAX (no UTF-8), MAAS_DATA_VALUE, MAAS_DATA_SPLIT.
 */
export async function loadText(path: string, config: DataConfig, options: TextOptions): Promise<Dataset> {
  const { context, stride = context } = config.text!;
  await checkSource(path);
  const { size } = await stat(path);
  if (expandedSize(path, size) > config.memory * 2 ** 20) throw tooLarge(size, config.memory, path);
  const { text, sha256 } = await watchSource(path, () => readText(path, options.signal));
  const { vocabulary, codes, starts } = encode(text, path);
  const ends = endsOf(codes.length, config);
  const linesBefore = countLines(text);

  const cut = (from: number, to: number, split: SplitName): Table => {
    const windows: number[] = [];
    for (let at = from; at + context < to; at += stride) windows.push(at);
    if (windows.length === 0) throw tooShort(split, to - from, context, path);
    const window = (at: number): string => text.slice(starts[at], starts[at + context]);
    return {
      rows: windows.length,
      lines: Uint32Array.from(windows, (at) => linesBefore(starts[at]!) + 1),
      inputs: { [textFeature]: { dtype: 'string', dims: [windows.length, 1], data: windows.map(window) } },
      target: {
        dtype: 'int64',
        dims: [windows.length],
        data: BigInt64Array.from(windows, (at) => BigInt(codes[at + context]!)),
      },
    };
  };
  const splits = {
    train: cut(0, ends.train, 'train'),
    validation: cut(ends.train, ends.validation, 'validation'),
    test: cut(ends.validation, codes.length, 'test'),
  };
  const digest = options.digest(sha256);
  const { target } = config;
  const observed = [{ name: textFeature, type: 'text' as const }];
  const signature = assembleSignature(
    observed,
    { task: 'classification', name: target, labels: vocabulary },
    options.name,
    digest,
  );
  const facts: TokenIds = {
    outputMode: 'int',
    split: 'character',
    tokens: vocabulary,
    length: context,
    keep: 'last',
  };
  const counts = new Map<string, number>(vocabulary.map((character) => [character, 0]));
  for (const code of codes) counts.set(vocabulary[code]!, counts.get(vocabulary[code]!)! + 1);
  return {
    digest,
    signature: { ...signature, generates: { feature: textFeature, context } },
    statistics: {},
    transforms: { [textFeature]: { name: 'textVectorization', facts } },
    schema: {
      schemaVersion: 1,
      rows: Object.values(splits).reduce((sum, { rows }) => sum + rows, 0),
      splits: {
        train: splits.train.rows,
        validation: splits.validation.rows,
        test: splits.test.rows,
      },
      columns: [
        { name: textFeature, role: 'feature', type: 'text' },
        { name: target, role: 'target', type: 'category', ...describeTexts(counts, []) },
      ],
    },
    notes: noteUnseen(codes, ends.train, vocabulary),
    splits,
  };
}

async function readText(path: string, signal?: AbortSignal): Promise<{ text: string; sha256: string }> {
  const hash = createHash('sha256');
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const parts: string[] = [];
  try {
    for await (const chunk of streamSource(path, { hash, ...(signal && { signal }) }))
      parts.push(decoder.decode(chunk, { stream: true }));
    parts.push(decoder.decode());
  } catch (error) {
    throw error instanceof TypeError ? notUtf8(path) : error;
  }
  return { text: parts.join(''), sha256: hash.digest('hex') };
}

interface Encoded {
  /** Its characters, sorted. */
  readonly vocabulary: readonly string[];
  /** Index of each character of the text. */
  readonly codes: Uint32Array;
  /** Where each character begins in the string, and where the last one ends. */
  readonly starts: Uint32Array;
}

function encode(text: string, path: string): Encoded {
  const starts = new Uint32Array(text.length + 1);
  const points = new Uint32Array(text.length);
  let count = 0;
  for (let at = 0; at < text.length; count++) {
    const point = text.codePointAt(at)!;
    points[count] = point;
    starts[count] = at;
    at += point > 0xffff ? 2 : 1;
  }
  starts[count] = text.length;
  const known = [...new Set(points.subarray(0, count))].sort((a, b) => a - b);
  // onnxruntime hands texts on as C strings.
  if (known[0] === 0) {
    throw new MaasError('MAAS_DATA_VALUE', 'the text has the character U+0000', {
      place: { file: path, line: text.slice(0, text.indexOf('\0')).split('\n').length },
      hint: 'Remove it, for instance with tr -d "\\000".',
    });
  }
  if (known.length < 2) {
    throw new MaasError(
      'MAAS_DATA_VALUE',
      'the text has a single character, there is nothing to tell apart',
      {
        place: { file: path },
        hint: 'Give it more text.',
      },
    );
  }
  const codeOf = new Map(known.map((point, code) => [point, code]));
  return {
    vocabulary: known.map((point) => String.fromCodePoint(point)),
    codes: points.subarray(0, count).map((point) => codeOf.get(point)!),
    starts: starts.subarray(0, count + 1),
  };
}

/** Where the train and the validation split end, by place. */
function endsOf(characters: number, { split: { train, validation } }: DataConfig) {
  return {
    train: Math.floor(characters * train),
    validation: Math.floor(characters * (train + validation)),
  };
}

/** Counts the line breaks before a place; asked in rising order. */
function countLines(text: string): (place: number) => number {
  let [seen, lines] = [0, 0];
  return (place) => {
    for (; seen < place; seen++) if (text.charCodeAt(seen) === 10) lines += 1;
    return lines;
  };
}

function noteUnseen(codes: Uint32Array, trained: number, vocabulary: readonly string[]): string[] {
  const seen = new Set(codes.subarray(0, trained));
  const rest = vocabulary.filter((_, code) => !seen.has(code));
  if (rest.length === 0) return [];
  const shown = rest.slice(0, 10).map((character) => JSON.stringify(character));
  const more = rest.length > shown.length ? ', …' : '';
  return [`held-out text has characters that the train split lacks: ${shown.join(', ')}${more}`];
}

function tooLarge(size: number, memory: number, path: string): MaasError {
  return new MaasError(
    'MAAS_DATA_VALUE',
    `the text has ${Math.ceil(size / 2 ** 20)} MB, and data.memory allows ${memory}: running text is read into memory`,
    { place: { file: path }, hint: 'Raise data.memory, or take a part of the text.' },
  );
}

function tooShort(split: SplitName, characters: number, context: number, path: string): MaasError {
  return new MaasError(
    'MAAS_DATA_SPLIT',
    `the ${split} split has ${characters} ${characters === 1 ? 'character' : 'characters'}: a row needs ${context + 1}, data.text.context and the one after`,
    { place: { file: path }, hint: 'Choose a smaller context, a larger share, or more text.' },
  );
}
