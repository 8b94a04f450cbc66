import { z } from 'zod';
import { matchesAny } from '../../../config/index.js';
import type { Model, Node } from '../../../ir/graph.js';
import { loadTensor } from '../../../ir/onnx/external.js';
import {
  freshNames,
  liftConstants,
  removeDead,
  replaceNodes,
  type Replacement,
} from '../../../ir/rewrite.js';
import { tensor, valuesOf } from '../../../ir/tensor.js';
import { giveWay } from '../../../runtime/give-way.js';
import { definePass, type PassReport } from '../../../plugin/api.js';
import { labelOf, readDense, type DenseLayer } from './dense-layer.js';
import { decompose } from './factorize/eigen.js';
import { observeGrams } from './observe.js';

const options = z
  .strictObject({
    energy: z
      .number()
      .gt(0)
      .lt(1)
      .optional()
      .describe("Share of the power of a layer's outputs that its rank is chosen to keep. Default: 0.99."),
    ratio: z
      .number()
      .gt(0)
      .lt(1)
      .optional()
      .describe('Instead of energy: share of the weights of a layer that its two factors have together.'),
    leastSaving: z
      .number()
      .min(0)
      .lt(1)
      .default(0.2)
      .describe('A layer stays whole where two factors would save less of its work than this share.'),
    samples: z.int().min(1).default(512).describe('Calibration rows, at most.'),
    minElements: z.int().min(1).default(4096).describe('Smaller matrices stay whole.'),
    exclude: z
      .array(z.string().min(1))
      .default([])
      .describe('Names of nodes to leave as they are; * stands for any text.'),
  })
  .check((context) => {
    if (context.value.energy === undefined || context.value.ratio === undefined) return;
    const message = 'the rank is chosen by energy or by ratio, not by both';
    context.issues.push({ code: 'custom', input: context.value, path: ['ratio'], message });
  });
type FactorizeOptions = z.output<typeof options>;

/** The work of taking a matrix apart grows with the cube of its width. */
const widest = 2048;

/**
 * What: makes two narrow layers of a wide one.
 * Why: fewer weights and fewer products, where the outputs of a layer lie near a space of fewer dimensions.
 * Example: Gemm 512 → 512 becomes MatMul 512 → 96, Gemm 96 → 512.
 *
 * The space is that of the outputs: with H = XᵀX of calibration rows, the eigenvectors V of WᵀHW with the largest values
 * give W ≈ (W · V) · Vᵀ, which no other matrix of the rank beats on these rows (the SVD of √H · W; cf. Wang and others,
 * arXiv:2403.07378). Without rows H is the identity, and it is the SVD of the weights.
 */
export const factorizePass = definePass<FactorizeOptions>({
  name: 'factorize',
  summary: 'Make two narrow layers of a wide one, where its outputs allow it.',
  options,
  version: 1,
  async run(given, settings, context) {
    const model: Model = { ...given, graph: liftConstants(given.graph) };
    const { graph } = model;
    const skipped: { node: string; reason: string }[] = [];
    const layers: { readonly node: Node; readonly layer: DenseLayer }[] = [];
    for (const node of graph.nodes) {
      const found = readDense(node, model);
      if (!found) continue;
      const reason = 'reason' in found ? found.reason : refuse(node, found.layer, settings);
      if (reason !== undefined) skipped.push({ node: labelOf(node), reason });
      else if ('layer' in found) layers.push({ node, layer: found.layer });
    }
    const inputs = new Map(layers.map(({ layer }) => [layer.input, layer.rows]));
    const observed = [...inputs].map(([name, channels]) => ({ name, channels }));
    const batches = layers.length > 0 ? await context.calibration(settings.samples) : [];
    const grams = await observeGrams(model, observed, batches, context);

    const fresh = freshNames(graph);
    const replacements = new Map<Node, Replacement>();
    const applied: { node: string; note: string }[] = [];
    for (const { node, layer } of layers) {
      await giveWay(context.signal);
      const weight = await loadTensor(graph.initializers.get(layer.weight)!);
      const columns = columnsOf(valuesOf(weight) as Float32Array, layer);
      const factors = factorize(columns, layer, grams.get(layer.input), settings);
      if (typeof factors === 'string') {
        skipped.push({ node: labelOf(node), reason: factors });
        continue;
      }
      replacements.set(node, split(node, layer, factors, fresh));
      const kept = `keeps ${(factors.kept * 100).toPrecision(4)} % of the power`;
      applied.push({
        node: labelOf(node),
        note: `${layer.rows} × ${layer.columns} by rank ${factors.rank}, ${kept}`,
      });
    }
    const report: PassReport = { changed: applied.length > 0, applied, skipped };
    if (applied.length === 0) return { model: given, report };
    const after = removeDead(replaceNodes(graph, (node) => replacements.get(node)));
    return { model: { ...model, graph: after }, report };
  },
});

function refuse(
  node: Node,
  { rows, columns }: DenseLayer,
  { exclude, minElements }: FactorizeOptions,
): string | undefined {
  if (matchesAny(labelOf(node), exclude)) return 'excluded';
  if (rows * columns < minElements)
    return `${rows} × ${columns} weights are fewer than minElements (${minElements})`;
  return columns > widest ? `its ${columns} outputs are more than ${widest}` : undefined;
}

/** Column by column: [columns, rows]. */
function columnsOf(values: Float32Array, { rows, columns, transposed }: DenseLayer): Float32Array {
  if (transposed) return values;
  return Float32Array.from(
    { length: values.length },
    (_, at) => values[(at % rows) * columns + Math.floor(at / rows)]!,
  );
}

interface Factors {
  readonly rank: number;
  /** [rows, rank]. */
  readonly first: Float32Array;
  /** [rank, columns]. */
  readonly second: Float32Array;
  /** Share of the outputs' power. */
  readonly kept: number;
}

/**
 * @param weights [columns, rows].
 * @returns the reason where the layer stays whole.
 */
function factorize(
  weights: Float32Array,
  { rows, columns }: DenseLayer,
  gram: Float64Array | undefined,
  { energy = 0.99, ratio, leastSaving }: FactorizeOptions,
): Factors | string {
  const whole = 'its weights or inputs are not finite';
  if (!weights.every(Number.isFinite)) return whole;
  const power = outputPower(weights, rows, columns, gram);
  const eigen = decompose(power, columns);
  const total = eigen?.values.reduce((sum, value) => sum + Math.max(0, value), 0) ?? NaN;
  if (!eigen || !(total > 0) || total === Infinity) return eigen && total === 0 ? 'its outputs are 0' : whole;
  const products = rows * columns;
  const most = Math.floor((products * (1 - leastSaving)) / (rows + columns));
  let [rank, kept] = [0, 0];
  const wanted =
    ratio === undefined ? Infinity : Math.max(1, Math.floor((products * ratio) / (rows + columns)));
  while (rank < Math.min(columns, wanted) && (ratio !== undefined || kept < energy)) {
    kept += Math.max(0, eigen.values[rank]!) / total;
    rank += 1;
  }
  if (rank > most) {
    const needs =
      ratio === undefined ? `${energy} of its power needs rank ${rank}` : `ratio ${ratio} means rank ${rank}`;
    return `${needs}, and more than ${most} saves too little`;
  }
  const second = Float32Array.from(eigen.vectors.subarray(0, rank * columns));
  const first = new Float32Array(rows * rank);
  for (let column = 0; column < columns; column++) {
    for (let at = 0; at < rank; at++) {
      const share = eigen.vectors[at * columns + column]!;
      for (let row = 0; row < rows; row++) first[row * rank + at]! += share * weights[column * rows + row]!;
    }
  }
  return { rank, first, second, kept };
}

/** Wᵀ · H · W [columns, columns]. */
function outputPower(
  weights: Float32Array,
  rows: number,
  columns: number,
  gram: Float64Array | undefined,
): Float64Array {
  const power = new Float64Array(columns * columns);
  const seen = new Float64Array(rows);
  for (let column = 0; column < columns; column++) {
    const own = weights.subarray(column * rows, (column + 1) * rows);
    if (gram) {
      seen.fill(0);
      for (let row = 0; row < rows; row++) {
        const weight = own[row]!;
        const start = row * rows;
        for (let at = 0; at < rows; at++) seen[at]! += weight * gram[start + at]!;
      }
    } else seen.set(own);
    for (let other = 0; other <= column; other++) {
      const start = other * rows;
      let sum = 0;
      for (let row = 0; row < rows; row++) sum += seen[row]! * weights[start + row]!;
      power[column * columns + other] = sum;
      power[other * columns + column] = sum;
    }
  }
  return power;
}

function split(
  node: Node,
  { input, weight, bias, rows, columns }: DenseLayer,
  { rank, first, second }: Factors,
  fresh: (stem: string) => string,
): Replacement {
  const names = [fresh(`${weight}_first`), fresh(`${weight}_second`)] as const;
  const narrow = fresh(`${node.outputs[0]}_narrow`);
  const inner = { op: 'MatMul', domain: '', name: fresh(`${labelOf(node)}_narrow`), attributes: {} };
  const attributes = Object.fromEntries(
    Object.entries(node.attributes).filter(([name]) => name !== 'transB'),
  );
  const inputs = [narrow, names[1], ...(bias === undefined ? [] : [bias])];
  return {
    nodes: [
      { ...inner, inputs: [input, names[0]], outputs: [narrow] },
      { ...node, inputs, attributes },
    ],
    initializers: [
      [names[0], tensor('float32', [rows, rank], first)],
      [names[1], tensor('float32', [rank, columns], second)],
    ],
  };
}
