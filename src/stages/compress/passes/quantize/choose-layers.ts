import type { Model, Node } from '../../../../ir/graph.js';
import { loadTensor } from '../../../../ir/onnx/external.js';
import { removeDead, replaceNodes } from '../../../../ir/rewrite.js';
import { valuesOf } from '../../../../ir/tensor.js';
import { matchesAny } from '../../../../config/index.js';
import type { PassReport } from '../../../../plugin/api.js';
import { labelOf, readDense, type DenseLayer } from '../dense-layer.js';
import type { EmitLayer, QuantizedLayer } from './layer.js';
import type { QuantizeOptions } from './options.js';

/** Products of uint8 and int8 add up in 32 bits: more rows than this could overflow. */
const maxRows = Math.floor(2 ** 31 / (255 * 127));
/** Weights of a dense layer for which integers pay. */
const leastElements = 4096;
/** The operator sets that brought QuantizeLinear and DynamicQuantizeLinear. */
const leastOpset = { static: 10, dynamic: 11, weights: 1 };

export interface Found<Matrix> {
  readonly chosen: Map<Node, QuantizedLayer<Matrix>>;
  readonly skipped: { node: string; reason: string }[];
}

/** Weights of one layer, or of several that share them. */
export interface Unit {
  readonly layers: readonly (readonly [Node, DenseLayer])[];
  read(): Promise<Float32Array>;
}

/** Makes integers of the weights of each unit, of none where they are not finite. */
export type QuantizeUnits<Matrix> = (
  units: readonly Unit[],
) => AsyncIterable<readonly [Unit, Matrix | undefined]>;

/** One unit after another, by its weights alone. */
export function eachUnit<Matrix>(
  quantize: (weights: Float32Array, layer: DenseLayer) => Matrix | undefined,
): QuantizeUnits<Matrix> {
  return async function* (units) {
    for (const unit of units) yield [unit, quantize(await unit.read(), unit.layers[0]![1])];
  };
}

/** The layers that can be quantized, and why the others cannot. Layers that share weights share the matrix. */
export async function chooseLayers<Matrix>(
  model: Model,
  settings: QuantizeOptions,
  quantize: QuantizeUnits<Matrix>,
): Promise<Found<Matrix>> {
  const skipped: { node: string; reason: string }[] = [];
  const shared = new Map<string, [Node, DenseLayer][]>();
  for (const node of model.graph.nodes) {
    const candidate = choose(node, model, settings);
    if (!candidate) continue;
    if ('reason' in candidate) {
      skipped.push({ node: labelOf(node), reason: candidate.reason });
      continue;
    }
    const key = `${candidate.layer.transposed}:${candidate.layer.weight}`;
    shared.set(key, [...(shared.get(key) ?? []), [node, candidate.layer]]);
  }
  const units = [...shared.values()].map((layers): Unit => ({
    layers,
    async read() {
      const constant = model.graph.initializers.get(layers[0]![1].weight)!;
      return valuesOf(await loadTensor(constant)) as Float32Array;
    },
  }));
  const quantized = new Map<Node, QuantizedLayer<Matrix>>();
  for await (const [{ layers }, matrix] of quantize(units)) {
    for (const [node, layer] of layers) {
      if (matrix) quantized.set(node, { layer, matrix });
      else skipped.push({ node: labelOf(node), reason: 'its weights are not finite' });
    }
  }
  // In the order of the graph, whatever order they were quantized in.
  const chosen = model.graph.nodes.flatMap((node) => {
    const found = quantized.get(node);
    return found ? [[node, found] as const] : [];
  });
  return { chosen: new Map(chosen), skipped };
}

/** @param given The model as it came, which stays when no layer is chosen. */
export function rewrite<Matrix>(
  given: Model,
  model: Model,
  { chosen, skipped }: Found<Matrix>,
  emit: EmitLayer<Matrix>,
  describe: (chosen: QuantizedLayer<Matrix>) => string,
): { model: Model; report: PassReport } {
  const applied = [...chosen].map(([node, choice]) => ({ node: labelOf(node), note: describe(choice) }));
  const report: PassReport = { changed: chosen.size > 0, applied, skipped };
  if (chosen.size === 0) return { model: given, report };
  const graph = removeDead(
    replaceNodes(model.graph, (node) => {
      const choice = chosen.get(node);
      return choice && emit(node, choice);
    }),
  );
  const isExtended = graph.nodes.some(({ domain }) => domain === 'com.microsoft');
  const opsets = isExtended ? { ...model.opsets, 'com.microsoft': 1 } : model.opsets;
  return { model: { ...model, opsets, graph }, report };
}

export function describeWeights(
  type: string,
  { rows, columns }: DenseLayer,
  matrix: { readonly signalToNoise: number },
): string {
  return `${type} ${rows} × ${columns}, weights keep ${matrix.signalToNoise.toFixed(1)} dB`;
}

function choose(node: Node, model: Model, settings: QuantizeOptions): ReturnType<typeof readDense> {
  if (node.op === 'Conv' && node.domain === '' && settings.mode !== 'static') {
    return { reason: `a convolution is slower in mode ${settings.mode}` };
  }
  const found = readDense(node, model);
  if (!found || 'reason' in found) return found;
  const { rows, columns } = found.layer;
  const opset = model.opsets[''] ?? 0;
  const least = leastOpset[settings.mode];
  if (opset < least) return { reason: `operator set ${opset} is older than ${least}` };
  if (model.graph.initializers.has(found.layer.input)) return { reason: 'its input is constant' };
  const reason = refuseSize(node, rows, columns, settings);
  return reason === undefined ? found : { reason };
}

export function refuseSize(
  node: Node,
  rows: number,
  columns: number,
  settings: QuantizeOptions,
): string | undefined {
  if (matchesAny(labelOf(node), settings.exclude)) return 'excluded';
  const least = settings.minElements ?? (node.op === 'Conv' ? 1 : leastElements);
  if (rows * columns < least) return `${rows} × ${columns} weights are fewer than minElements (${least})`;
  return rows > maxRows ? `${rows} products could overflow 32 bits` : undefined;
}
