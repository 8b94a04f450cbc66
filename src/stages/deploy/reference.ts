import type { Dataset, Table } from '../../data/dataset.js';
import { countNumbers, countTexts } from '../../data/drift/distribution.js';
import {
  watchedFeatures,
  watchedPredictions,
  type Distribution,
  type Reference,
  type Watched,
} from '../../data/drift/reference.js';
import { headsOf } from '../../data/heads.js';
import { gatherRows } from '../../data/rows.js';
import type { Signature } from '../../data/signature.js';
import { sizeOf, type NdArray } from '../../ir/tensor.js';
import { openSession } from '../../runtime/session.js';

/** Rows of training that are looked at: fewer where each is large, for they may have to be read from disk. */
const [fewestRows, mostRows, mostNumbers] = [500, 10_000, 2 ** 27];
/** Rows that the model is asked about. */
const mostAnswers = 500;
/** Rows in memory at a time. */
const atATime = 32;

type Arrays = Readonly<Record<string, NdArray>>;

/** Looks at rows of training, and at what the model says of rows that it was not trained on. */
export async function makeReference(
  modelFile: string,
  signature: Signature,
  { train, test }: Dataset['splits'],
  signal?: AbortSignal,
): Promise<Reference> {
  const width = Object.values(train.inputs).reduce((sum, { dims }) => sum + sizeOf(dims.slice(1)), 0);
  const limit = Math.min(mostRows, Math.max(fewestRows, Math.floor(mostNumbers / Math.max(1, width))));
  const features = new Tally(watchedFeatures(signature));
  for (const [inputs, rows] of partsOf(train, limit)) {
    signal?.throwIfAborted();
    features.add(inputs, rows);
  }
  const predictions = new Tally(watchedPredictions(signature));
  const session = await openSession(modelFile);
  try {
    const fetches = signature.outputs.map(({ name }) => name);
    for (const [inputs, rows] of partsOf(test, mostAnswers)) {
      signal?.throwIfAborted();
      predictions.add(await session.run(inputs, fetches), rows);
    }
  } finally {
    await session.close();
  }
  const known = headsOf(signature).flatMap(({ label, labels }) =>
    label && labels ? [[label, labels] as const] : [],
  );
  return {
    schemaVersion: 1,
    features: features.end(),
    predictions: predictions.end(Object.fromEntries(known)),
  };
}

/** About so many rows of a table, a few neighbours at a time, which lie together on disk, spread evenly over it. */
function* partsOf(table: Table, limit: number): Generator<[Arrays, number]> {
  const parts = Math.ceil(Math.min(limit, table.rows) / atATime);
  for (let part = 0; part < parts; part++) {
    const [first, next] = [part, part + 1].map((each) => Math.floor((each * table.rows) / parts));
    const length = Math.min(atATime, next! - first!);
    yield [
      gatherRows(
        table.inputs,
        Array.from({ length }, (_, at) => first! + at),
      ),
      length,
    ];
  }
}

/** The values of what is watched, row by row. */
class Tally {
  readonly #watched: readonly Watched[];
  readonly #values: (number | string)[][];

  constructor(watched: readonly Watched[]) {
    this.#watched = watched;
    this.#values = watched.map(() => []);
  }

  add(arrays: Arrays, rows: number): void {
    for (const [at, { read }] of this.#watched.entries()) {
      for (let row = 0; row < rows; row++) this.#values[at]!.push(read(arrays, row));
    }
  }

  /** @param known Values that are counted even where there are none, by name. */
  end(known: Readonly<Record<string, readonly string[]>> = {}): Distribution[] {
    return this.#watched.map(({ name, of, type }, at) => {
      const values = this.#values[at]!;
      const counts =
        type === 'number'
          ? countNumbers(Float64Array.from(values as number[]))
          : countTexts(values as string[], known[name]);
      return { name, ...(of && { of }), ...counts };
    });
  }
}
