import { z } from 'zod';
import { attr, consumersOf, numberAttribute, type Model, type Node } from '../../../ir/graph.js';
import { loadTensor } from '../../../ir/onnx/external.js';
import {
  freshNames,
  liftConstants,
  removeDead,
  replaceNodes,
  type Replacement,
} from '../../../ir/rewrite.js';
import { dtypes, sizeOf, tensor, valuesOf, type Tensor } from '../../../ir/tensor.js';
import { definePass } from '../../../plugin/api.js';
import { constantAt, labelOf } from './dense-layer.js';
import { roundGroups } from './round-groups.js';
import { matchesAny } from '../../../config/index.js';

const options = z.strictObject({
  minElements: z.int().min(1).default(4096).describe('Smaller tables stay float32.'),
  exclude: z
    .array(z.string().min(1))
    .default([])
    .describe('Names of nodes to leave as they are; * stands for any text.'),
});

const floatCode = dtypes.indexOf('float32') + 1;

/**
 * What: stores a table that rows are looked up in as int8, with a scale for each row.
 * Why: a quarter of the size, and only the rows that are asked for are turned back.
 * Example: Gather(E, ids) → Cast(Gather(E₈, ids)) · Gather(scales, ids).
 */
export const quantizeEmbeddingsPass = definePass<z.output<typeof options>>({
  name: 'quantizeEmbeddings',
  summary: 'Store the tables of embeddings as int8, with a scale for each row.',
  options,
  version: 1,
  async run(given, settings) {
    const model: Model = { ...given, graph: liftConstants(given.graph) };
    const { graph } = model;
    const fresh = freshNames(graph);
    const tables = new Map<string, QuantizedTable | string>();
    const placed = new Set<string>();
    const replacements = new Map<Node, Replacement>();
    const applied: { node: string; note: string }[] = [];
    const skipped: { node: string; reason: string }[] = [];
    for (const node of graph.nodes) {
      const table = tableOf(node, model);
      if (!table || sizeOf(table.dims) < settings.minElements) continue;
      const name = node.inputs[0]!;
      const quantized = tables.get(name) ?? (await quantizeTable(name, table, model, fresh));
      tables.set(name, quantized);
      const reason = matchesAny(labelOf(node), settings.exclude) ? 'excluded' : quantized;
      if (typeof reason === 'string') {
        skipped.push({ node: labelOf(node), reason });
        continue;
      }
      replacements.set(node, lookUp(node, reason, !placed.has(name), fresh));
      placed.add(name);
      const [rows, width] = table.dims;
      applied.push({
        node: labelOf(node),
        note: `int8 ${rows} × ${width}, keeps ${reason.decibels.toFixed(1)} dB`,
      });
    }
    if (applied.length === 0) return { model: given, report: { changed: false, skipped } };
    const after = removeDead(replaceNodes(graph, (node) => replacements.get(node)));
    return { model: { ...model, graph: after }, report: { changed: true, applied, skipped } };
  },
});

/** The constant matrix whose rows a node looks up. */
function tableOf(node: Node, { graph, irVersion }: Model): Tensor | undefined {
  if (node.op !== 'Gather' || node.domain !== '' || numberAttribute(node, 'axis', 0) !== 0) return undefined;
  const table = constantAt(node.inputs[0]!, graph, irVersion);
  return table?.dtype === 'float32' && table.dims.length === 2 ? table : undefined;
}

interface QuantizedTable {
  /** Names of the integers [rows, width] and of the scales [rows, 1]. */
  readonly names: readonly [string, string];
  readonly constants: readonly [Tensor, Tensor];
  readonly decibels: number;
}

/** @returns the reason where the table stays as it is. */
async function quantizeTable(
  name: string,
  table: Tensor,
  model: Model,
  fresh: (stem: string) => string,
): Promise<QuantizedTable | string> {
  const readers = consumersOf(model.graph).get(name) ?? [];
  if (!readers.every((node) => node.inputs[0] === name && tableOf(node, model))) {
    return 'its table has other readers, which need float32';
  }
  const values = valuesOf(await loadTensor(table)) as Float32Array;
  const [rows, width] = table.dims as [number, number];
  const rounded = roundGroups(values, width);
  if (!rounded) return 'its table is not finite';
  const { integers, scales, signalToNoise: decibels } = rounded;
  return {
    names: [fresh(`${name}_int8`), fresh(`${name}_scale`)],
    constants: [tensor('int8', table.dims, integers), tensor('float32', [rows, 1], scales)],
    decibels,
  };
}

function lookUp(
  node: Node,
  { names, constants }: QuantizedTable,
  first: boolean,
  fresh: (stem: string) => string,
): Replacement {
  const indices = node.inputs[1]!;
  const output = node.outputs[0]!;
  const [rows, floats, scales] = ['int8', 'float', 'scale'].map((part) => fresh(`${output}_${part}`)) as [
    string,
    string,
    string,
  ];
  const make = (op: string, inputs: string[], to: string, attributes: Node['attributes'] = {}): Node => ({
    op,
    domain: '',
    name: fresh(`${labelOf(node)}_${op}`),
    inputs,
    outputs: [to],
    attributes,
  });
  return {
    nodes: [
      make('Gather', [names[0], indices], rows),
      make('Cast', [rows], floats, { to: attr.int(floatCode) }),
      make('Gather', [names[1], indices], scales),
      make('Mul', [floats, scales], output),
    ],
    initializers: first
      ? [
          [names[0], constants[0]],
          [names[1], constants[1]],
        ]
      : [],
  };
}
