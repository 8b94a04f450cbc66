import { attr, producersOf, type Attributes, type Model, type Node } from '../../../../ir/graph.js';
import { freshNames, sortNodes } from '../../../../ir/rewrite.js';
import { int64s, numbersOf, scalar, tensor, type Tensor } from '../../../../ir/tensor.js';
import type { DenseLayer } from '../dense-layer.js';
import { chainsOf } from '../quantize/chains.js';
import type { Convolutions } from '../quantize/convolutions.js';
import type { QuantizeOptions } from '../quantize/options.js';
import { largestOf } from '../quantize/quantize-static.js';
import { gridOf, type Grid, type Range } from '../quantize/ranges.js';

/** What the static quantizer will have as integers. */
export interface Plan {
  readonly convolutions: Convolutions | undefined;
  readonly dense: readonly { readonly node: Node; readonly layer: DenseLayer }[];
}

export interface Pretending {
  /** Computes with real numbers, each of which is on the grid that integers will have. */
  readonly model: Model;
  /** Numbers to train, by initializer: each times the scale that an activation began with is the scale that it has. */
  readonly scales: ReadonlyMap<string, Scale>;
  /** The ranges that these numbers come to. */
  readonly readRanges: (initializers: ReadonlyMap<string, Tensor>) => Map<string, Range>;
}

interface Scale {
  /** The activation. */
  readonly value: string;
  readonly grid: Grid;
}

/** A column of zeros needs some scale to be divided by. */
const leastMagnitude = 1e-30;
/** The operator set in which reductions take their axes as an input. */
const axesAsInput = 18;

/**
 * Puts QuantizeLinear and DequantizeLinear where `quantizeConvolutions` and `createStaticEmitter` round: around activations by a
 * grid of their own, and behind weights by the largest magnitude of each channel, which moves as they do.
 */
export function pretendIntegers(
  model: Model,
  { convolutions, dense }: Plan,
  ranges: ReadonlyMap<string, Range>,
  settings: Pick<QuantizeOptions, 'perChannel' | 'reduceRange'>,
): Pretending {
  const { graph } = model;
  const fresh = freshNames(graph);
  const initializers = new Map<string, Tensor>(graph.initializers);
  const added: Node[] = [];
  const scales = new Map<string, Scale>();
  const constant = (stem: string, value: Tensor): string => {
    const name = fresh(stem);
    initializers.set(name, value);
    return name;
  };
  const add = (
    op: string,
    inputs: string[],
    attributes: Attributes = {},
    output = fresh(`${inputs[0]}_${op}`),
  ): string => {
    added.push({ op, domain: '', name: fresh(`qat_${op}`), inputs, outputs: [output], attributes });
    return output;
  };
  const roundTrip = (from: string, grid: string[], to: string, attributes: Attributes = {}): string =>
    add('DequantizeLinear', [add('QuantizeLinear', [from, ...grid], attributes), ...grid], attributes, to);

  const grids = new Map<string, string[]>();
  const gridOfValue = (value: string): string[] => {
    const known = grids.get(value);
    if (known) return known;
    const grid = gridOf(ranges.get(value)!);
    const share = constant(`${value}_range`, scalar('float32', 1));
    scales.set(share, { value, grid });
    // Shares of the first scale, so that one learning rate suits scales of any size; none can turn negative.
    const scale = add('Mul', [
      add('Abs', [share]),
      constant(`${value}_scale`, scalar('float32', grid.scale)),
    ]);
    const made = [scale, constant(`${value}_zero`, tensor('uint8', [], [grid.zero]))];
    grids.set(value, made);
    return made;
  };

  const weights = new Map<string, string>();
  const roundWeight = (name: string, axis: number): string => {
    const key = `${axis}:${name}`;
    const known = weights.get(key);
    if (known !== undefined) return known;
    const { dims } = initializers.get(name)!;
    const { perChannel } = settings;
    const others = dims.map((_, at) => at).filter((at) => !perChannel || at !== axis);
    const keepdims = attr.int(0);
    const magnitudes = add('Abs', [name]);
    const most =
      (model.opsets[''] ?? 0) < axesAsInput
        ? add('ReduceMax', [magnitudes], { axes: attr.ints(others), keepdims })
        : add('ReduceMax', [magnitudes, constant(`${name}_axes`, int64s(others))], { keepdims });
    const some = add('Max', [most, constant(`${name}_least`, scalar('float32', leastMagnitude))]);
    const scale = add('Div', [some, constant(`${name}_largest`, scalar('float32', largestOf(settings)))]);
    const sizes = perChannel ? [dims[axis]!] : [];
    const zero = constant(`${name}_zero`, tensor('int8', sizes, new Int8Array(sizes[0] ?? 1)));
    const rounded = roundTrip(
      name,
      [scale, zero],
      fresh(`${name}_rounded`),
      perChannel ? { axis: attr.int(axis) } : {},
    );
    weights.set(key, rounded);
    return rounded;
  };

  const chains = chainsOf(model);
  const integral = new Set(convolutions?.chosen.keys() ?? []);
  const between = new Set(convolutions?.between ?? []);
  const ends = new Set([...integral, ...between].map((node) => chains.endOf(node)));
  const layers = new Map(dense.map(({ node, layer }) => [node, layer]));
  const read = new Map<string, string>();
  /** What is read in the place of `name`, on the grid of `source`. */
  const roundRead = (name: string, source: string): string => {
    const key = `${source}:${name}`;
    const rounded = read.get(key) ?? roundTrip(name, gridOfValue(source), fresh(`${name}_rounded`));
    read.set(key, rounded);
    return rounded;
  };
  const nodes = graph.nodes.map((node): Node => {
    const [input = '', weight = '', ...rest] = node.inputs;
    const layer = layers.get(node);
    if (layer) {
      const axis = layer.transposed ? 0 : 1;
      return { ...node, inputs: [roundRead(input, input), roundWeight(weight, axis), ...rest] };
    }
    const onGrid = (name: string): string => {
      const source = chains.sourceOf(name);
      return ends.has(source) ? name : roundRead(name, source);
    };
    if (between.has(node)) return { ...node, inputs: node.inputs.map(onGrid) };
    if (!integral.has(node)) return node;
    return { ...node, inputs: [onGrid(input), roundWeight(weight, 0), ...rest] };
  });
  // Whoever reads what a convolution leaves reads it rounded.
  const producers = producersOf({ ...graph, nodes });
  const exact = new Map<Node, Node>();
  for (const end of ends) {
    const node = producers.get(end)!;
    const renamed = fresh(`${end}_exact`);
    exact.set(node, { ...node, outputs: [renamed, ...node.outputs.slice(1)] });
    roundTrip(renamed, gridOfValue(end), end);
  }
  const all = [...nodes.map((node) => exact.get(node) ?? node), ...added];
  const pretended = sortNodes({ ...graph, nodes: all, initializers });
  return {
    model: { ...model, graph: pretended },
    scales,
    readRanges: (found) =>
      new Map(
        [...scales].map(
          ([
            name,
            {
              value,
              grid: { scale, zero },
            },
          ]) => {
            const [share = 1] = numbersOf(found.get(name) ?? scalar('float32', 1));
            const width = Math.fround(scale * Math.abs(share));
            return [value, { low: -zero * width, high: (255 - zero) * width }] as const;
          },
        ),
      ),
  };
}
