import type { Model, Node } from '../../ir/graph.js';
import { loadTensor } from '../../ir/onnx/external.js';
import { valuesOf } from '../../ir/tensor.js';
import { openModel } from '../../runtime/open-model.js';
import type { Feeds } from '../../runtime/session.js';

/** A layer whose sums do not fit where processors without VNNI put them. */
export interface Overflow {
  readonly node: string;
  /** Share of the sums of two products that leave 16 bits. */
  readonly share: number;
}

const [least, most] = [-(2 ** 15), 2 ** 15 - 1];
/** Sums to look at for a layer. */
const looked = 2 ** 24;
const multiplying = new Set([':MatMulInteger', 'com.microsoft:MatMulIntegerToFloat']);

/**
 * The dense layers whose products of uint8 and int8 overflow on processors without VNNI, the worst first: their `vpmaddubsw`
 * adds the products of two neighbouring rows of the weights in 16 bits, and cuts off what does not fit (Intel 64 and IA-32
 * Architectures Software Developer's Manual, volume 2). It is worked out from the integers, for a processor that has VNNI
 * computes the same model right.
 */
export async function findOverflows(model: Model, feeds: Feeds): Promise<Overflow[]> {
  const { graph } = model;
  const layers: { node: Node; values: Int8Array; rows: number; columns: number }[] = [];
  for (const node of graph.nodes) {
    const weight = graph.initializers.get(node.inputs[1] ?? '');
    const isLayer = multiplying.has(`${node.domain}:${node.op}`) && weight?.dtype === 'int8';
    if (!isLayer || weight.dims.length !== 2) continue;
    const [rows, columns] = weight.dims as [number, number];
    const values = valuesOf(await loadTensor(weight)) as Int8Array;
    if (mayOverflow(values, columns)) layers.push({ node, values, rows, columns });
  }
  if (layers.length === 0) return [];
  const names = [...new Set(layers.map(({ node }) => node.inputs[0]!))];
  const outputs = names.map((name) => ({ name, dtype: 'uint8' as const }));
  const session = await openModel({ ...model, graph: { ...graph, outputs: [...graph.outputs, ...outputs] } });
  try {
    const found = await session.run(feeds, names);
    return layers
      .map(({ node, values, rows, columns }) => {
        const inputs = found[node.inputs[0]!]!.data as Uint8Array;
        return { node: nameOf(node), share: shareOf(inputs, values, rows, columns) };
      })
      .filter(({ share }) => share > 0)
      .sort((one, other) => other.share - one.share);
  } finally {
    await session.close();
  }
}

/** Passes name what they write after the layer that it stands for. */
function nameOf({ name, op }: Node): string {
  const end = name.lastIndexOf(`_${op}`);
  return end > 0 ? name.slice(0, end) : name;
}

/** Whether the largest inputs could do it. */
function mayOverflow(values: Int8Array, columns: number): boolean {
  for (let at = 0; at + columns < values.length; at += 1) {
    // Rows 0 and 1, 2 and 3, and so on.
    if (Math.floor(at / columns) % 2 === 1) continue;
    const [one, other] = [values[at]!, values[at + columns]!];
    const high = 255 * (Math.max(one, 0) + Math.max(other, 0));
    const low = 255 * (Math.min(one, 0) + Math.min(other, 0));
    if (high > most || low < least) return true;
  }
  return false;
}

function shareOf(inputs: Uint8Array, values: Int8Array, rows: number, columns: number): number {
  const all = inputs.length / rows;
  const count = Math.max(1, Math.min(all, Math.floor(looked / values.length)));
  let beyond = 0;
  for (let each = 0; each < count; each++) {
    const start = Math.floor((each * all) / count) * rows;
    for (let row = 0; row + 1 < rows; row += 2) {
      const [one, other] = [inputs[start + row]!, inputs[start + row + 1]!];
      for (let at = row * columns; at < (row + 1) * columns; at++) {
        const sum = one * values[at]! + other * values[at + columns]!;
        if (sum > most || sum < least) beyond += 1;
      }
    }
  }
  return beyond / (count * Math.max(1, rows >> 1) * columns);
}
