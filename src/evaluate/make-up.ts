import { MaasError } from '../errors.js';
import { openInputs, type Graph, type Model, type Value } from '../ir/graph.js';
import { allocate, isNumeric, sizeOf, type NdArray } from '../ir/tensor.js';
import { openSession, type Feeds } from '../runtime/session.js';

/** Sizes to try for axes that the model leaves open, the batch aside. */
const sizes = [16, 32, 64, 1, 224];
/** Runs to compare models on. */
const count = 8;

/**
 * Inputs for a model that comes without data, to see that it still runs, how fast, and how far its outputs move:
 * normally distributed numbers, row numbers for what a table is looked up by, ones for other integers.
 * @throws MaasError MAAS_DATA_MISSING when the model does not run on any of them.
 */
export async function makeUpSamples(model: Model, path: string, seed: number): Promise<Feeds[]> {
  const inputs = openInputs(model.graph);
  const session = await openSession(path);
  try {
    for (const size of sizes) {
      const samples = Array.from({ length: count }, (_, at) => {
        const random = normal(seed * count + at + 1);
        return Object.fromEntries(
          inputs.map((input) => [input.name, fill(input, size, model.graph, random)]),
        );
      });
      try {
        await session.run(samples[0]!);
        return samples;
      } catch {
        // The next size may fit.
      }
    }
  } finally {
    await session.close();
  }
  throw new MaasError('MAAS_DATA_MISSING', `the model does not run on made-up inputs`, {
    place: { file: path },
    hint: 'Give inputs that it runs on with --calibration FILE.',
  });
}

function fill(input: Value, size: number, graph: Graph, random: () => number): NdArray {
  const { dtype = 'float32', shape = [] } = input;
  const dims = shape.map((dim, axis) => (typeof dim === 'number' ? dim : axis === 0 ? 1 : size));
  const length = sizeOf(dims);
  if (dtype === 'string') return { dtype, dims, data: new Array<string>(length).fill('') };
  if (!isNumeric(dtype)) {
    throw new MaasError('MAAS_DATA_MISSING', `inputs of type ${dtype} cannot be made up (${input.name})`, {
      hint: 'Give inputs with --calibration FILE.',
    });
  }
  const data = allocate(dtype, length) as unknown as (number | bigint)[];
  const isFloat = dtype === 'float32' || dtype === 'float64';
  const rows = isFloat ? undefined : rowsLookedUp(input.name, graph);
  for (let at = 0; at < length; at++) {
    const value = isFloat ? random() : rows === undefined ? 1 : Math.floor(Math.abs(random()) * 7919) % rows;
    data[at] = dtype === 'int64' || dtype === 'uint64' ? BigInt(value) : value;
  }
  return { dtype, dims, data: data as unknown as NdArray['data'] };
}

/** Rows of the smallest constant table that the values are row numbers of. */
function rowsLookedUp(name: string, graph: Graph): number | undefined {
  const tables = graph.nodes
    .filter(({ op, inputs }) => op === 'Gather' && inputs[1] === name)
    .flatMap(({ inputs }) => graph.initializers.get(inputs[0]!)?.dims[0] ?? []);
  return tables.length > 0 ? Math.min(...tables) : undefined;
}

/** Normally distributed numbers (Box and Muller) from MINSTD. */
function normal(seed: number): () => number {
  let state = (seed * 69_621_337) % 2147483647 || 1;
  const next = (): number => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
  return () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
}
