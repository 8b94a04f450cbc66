import type { Column, Table } from '../../../../data/dataset.js';
import { isStored } from '../../../../data/rows.js';
import { readsOf, type Graph, type Model, type Value } from '../../../../ir/graph.js';
import { encodeModel } from '../../../../ir/onnx/save.js';
import { removeDead } from '../../../../ir/rewrite.js';
import { inferTypes } from '../../../../ir/shapes.js';
import {
  allocate,
  bitsOf,
  isNumeric,
  sizeOf,
  type NdArray,
  type NumericDType,
} from '../../../../ir/tensor.js';
import { prepareBatches } from './batches.js';
import type { Workplace } from './rooms.js';
import { rowWiseNodes } from './row-wise.js';

/** Rows per run. */
const chunk = 256;

/** What is computed once may take this much room, or as much as the columns that it comes from. In bytes. */
const mostRoom = 2 ** 28;

/** Room of a text, roughly: a short string and the pointer to it. In bytes. */
const textRoom = 32;

/** A graph in two parts. */
export interface Parted {
  /** What depends on the data alone: run once for each row. Undefined when there is nothing of the kind. */
  readonly preparation: Graph | undefined;
  /** The rest, which takes outputs of the preparation, and columns of the data that it still reads, as inputs. */
  readonly rest: Graph;
}

/**
 * Parts a graph where what is trained, or random, begins. A look-up of words or the scaling of numbers gives the same for
 * a row in each epoch, and need not be done again at each step.
 * @param open Names of weights in training and of noise.
 */
export function partFrozen(graph: Graph, open: ReadonlySet<string>, table: Table): Parted {
  const whole: Parted = { preparation: undefined, rest: graph };
  const columns = graph.inputs.filter(({ name }) => !open.has(name));
  const rows = columns[0]?.shape?.[0];
  if (typeof rows !== 'string' || columns.some(({ shape }) => shape?.[0] !== rows)) return whole;

  const data = new Set(columns.map(({ name }) => name));
  const early = rowWiseNodes(graph, data, open, rows);
  const late = graph.nodes.filter((node) => !early.has(node));
  const read = new Set([...late.flatMap(readsOf), ...graph.outputs.map(({ name }) => name)]);
  const types = inferTypes(graph);
  const handed: Value[] = [...early]
    .map(({ outputs }) => outputs[0]!)
    .filter((name) => read.has(name))
    .map((name) => ({ name, ...types.get(name) }));
  const sizes = handed.map(({ dtype, shape }) => ({ dtype, dims: shape!.slice(1) as number[] }));
  if (handed.length === 0 || sizes.some(({ dtype, dims }) => !isNumeric(dtype!) || dims.some(isSymbol)))
    return whole;

  const room = sizes.reduce((sum, { dtype, dims }) => sum + widthOf(dtype as NumericDType, dims), 0);
  const replaced = columns
    .filter(({ name }) => !read.has(name))
    .map(({ name }) => table.inputs[name]!)
    .reduce((sum, { dtype, dims }) => sum + widthOf(dtype, dims.slice(1)), 0);
  const isLarge = columns.some(({ name }) => isStored(table.inputs[name]!));
  if (room * table.rows > mostRoom && (isLarge || room > replaced)) return whole;

  const inputs = graph.inputs.filter(({ name }) => read.has(name) || open.has(name));
  return {
    preparation: removeDead({ ...graph, inputs: columns, nodes: [...early], outputs: handed }),
    rest: removeDead({ ...graph, inputs: [...inputs, ...handed], nodes: late }),
  };
}

const isSymbol = (size: unknown) => typeof size === 'string';

/** Bytes of one row. */
function widthOf(dtype: NumericDType | 'string', dims: readonly number[]): number {
  return sizeOf(dims) * (dtype === 'string' ? textRoom : bitsOf[dtype] / 8);
}

/**
 * Runs a preparation over a table.
 * @returns Its outputs for all rows, and the columns of the table.
 */
export async function prepareTable(
  { thread, rooms }: Workplace,
  preparation: Model | undefined,
  { inputs, rows }: Table,
  threads: number,
): Promise<Readonly<Record<string, Column>>> {
  if (!preparation) return inputs;
  const { graph } = preparation;
  const session = await thread.open(encodeModel(preparation), { threads, optimization: 'basic' });
  try {
    const read = Object.fromEntries(graph.inputs.map(({ name }) => [name, inputs[name]!]));
    const take = prepareBatches(read, rooms);
    const order = Uint32Array.from({ length: rows }, (_, row) => row);
    const made = graph.outputs.map(({ name, dtype, shape }) => {
      const dims = [rows, ...(shape!.slice(1) as number[])];
      return {
        name,
        dtype: dtype as NumericDType,
        dims,
        data: allocate(dtype as NumericDType, sizeOf(dims)),
      };
    });
    for (let start = 0; start < rows; start += chunk) {
      const { arrays, returned } = await session.runLent(take(order, start, [Math.min(chunk, rows - start)]));
      rooms.giveBack(returned);
      for (const { name, dims, data } of made) {
        data.set(arrays[name]!.data as never, start * sizeOf(dims.slice(1)));
      }
    }
    return { ...inputs, ...Object.fromEntries(made.map(({ name, ...array }) => [name, array as NdArray])) };
  } finally {
    await session.close();
  }
}
