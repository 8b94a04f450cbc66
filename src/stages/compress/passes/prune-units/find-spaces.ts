import {
  numberAttribute,
  numbersAttribute,
  subgraphsOf,
  type Dim,
  type Model,
  type Node,
} from '../../../../ir/graph.js';
import { numbersOf } from '../../../../ir/tensor.js';
import { constantAt, labelOf, readDense } from '../dense-layer.js';
import type { Place, Space } from './spaces.js';
import { Tracker } from './tracker.js';

/** Operators that work element by element on one input; their further inputs are bounds or settings. */
const elementwise = new Set([
  ...[
    'Relu',
    'LeakyRelu',
    'Sigmoid',
    'Tanh',
    'Elu',
    'Selu',
    'Celu',
    'Gelu',
    'Erf',
    'HardSigmoid',
    'HardSwish',
  ],
  ...[
    'Softplus',
    'Softsign',
    'Mish',
    'Swish',
    'Clip',
    'Identity',
    'Dropout',
    'Abs',
    'Exp',
    'Log',
    'Sqrt',
    'Neg',
  ],
  ...['Reciprocal', 'Cast', 'ThresholdedRelu', 'Sign', 'Ceil', 'Floor', 'Round', 'Not'],
]);
const arithmetic = new Set(['Add', 'Sub', 'Mul', 'Div', 'PRelu', 'Pow', 'Max', 'Min', 'Where']);
const pools = new Set(['MaxPool', 'AveragePool', 'GlobalAveragePool', 'GlobalMaxPool', 'LpPool', 'Resize']);
const reductions = new Set(['ReduceMean', 'ReduceSum', 'ReduceMax', 'ReduceMin']);

/**
 * Follows the outputs of layers to the layers that read them, and ties together what has to go together. A space is
 * locked as soon as something reads it that is not understood.
 * @param model Its constants are initializers.
 */
export function findSpaces(model: Model): Space[] {
  return new Walk(model).run();
}

class Walk extends Tracker {
  run(): Space[] {
    const { graph } = this.model;
    for (const node of graph.nodes) this.step(node);
    for (const { name } of graph.outputs) this.places.get(name)?.space.lock('it is an output of the model');
    return [...new Set(this.spaces.map(({ root }) => root))];
  }

  private step(node: Node): void {
    if (subgraphsOf(node).length > 0 || node.domain !== '') {
      this.refuse(node);
      return;
    }
    const { op } = node;
    if (op === 'Gemm' || (op === 'MatMul' && this.isConstant(node.inputs[1]!))) {
      this.dense(node);
      return;
    }
    if (op === 'MatMul') {
      this.product(node);
      return;
    }
    if (op === 'Conv') {
      this.convolve(node);
      return;
    }
    if (elementwise.has(op)) {
      this.keep(node, node.inputs[0]!);
      return;
    }
    if (pools.has(op)) {
      this.alongImage(node);
      return;
    }
    if (op === 'BatchNormalization') {
      this.normalize(node);
      return;
    }
    if (arithmetic.has(op)) {
      this.combine(node);
      return;
    }
    if (op === 'Softmax') {
      this.softmax(node);
      return;
    }
    if (op === 'Flatten' || op === 'Reshape') {
      this.reshape(node);
      return;
    }
    if (op === 'Transpose') {
      this.transpose(node);
      return;
    }
    if (reductions.has(op)) {
      this.reduce(node);
      return;
    }
    this.refuse(node);
  }

  /** Takes the places of an input over to the output, which has the same axes. */
  private keep(node: Node, from: string): void {
    const place = this.places.get(from);
    if (node.inputs.some((name) => name !== from && this.places.has(name))) {
      this.refuse(node);
      return;
    }
    if (place) this.moveOn(node, place, {});
  }

  private dense(node: Node): void {
    const found = readDense(node, this.model);
    const place = this.places.get(node.inputs[0]!);
    const bias = node.op === 'Gemm' ? (node.inputs[2] ?? '') : '';
    const rank = this.shapeOf(node.inputs[0]!)?.length;
    if (!found || 'reason' in found) {
      this.refuse(node);
      return;
    }
    const { layer } = found;
    if (place) {
      const isLast = rank !== undefined && place.axis === rank - 1;
      if (isLast) this.consume(node, place, layer.weight, layer.transposed ? 1 : 0);
      else this.refuse(node);
    }
    if (rank === undefined) return;
    const space = this.open(node, layer.columns, 'neurons', rank - 1);
    const slice = { constant: layer.weight, axis: layer.transposed ? 0 : 1, width: 1 };
    if (!this.isOwn(layer.weight)) space.lock(`the weights ${layer.weight} have other readers`);
    space.producers.push({ node, slice });
    space.slices.push(slice);
    if (bias !== '') this.cutAlong(space, bias, layer.columns);
  }

  /** Batched products keep what counts batches: heads meet heads. */
  private product(node: Node): void {
    const [a, b] = node.inputs.map((name) => this.places.get(name));
    if (!a && !b) return;
    const [left, right] = node.inputs.map((name) => this.shapeOf(name)?.length);
    if (!a || !b || left === undefined || left !== right || a.axis !== b.axis || a.axis >= left - 2) {
      this.refuse(node);
      return;
    }
    if (a.width !== 1 || b.width !== 1) {
      this.refuse(node);
      return;
    }
    a.space.root.join(b.space);
    this.moveOn(node, a, { source: node.outputs[0]! });
  }

  private convolve(node: Node): void {
    const [input = '', weight = '', bias = ''] = node.inputs;
    const constant = constantAt(weight, this.model.graph, this.model.irVersion);
    const place = this.places.get(input);
    const group = numberAttribute(node, 'group', 1);
    if (constant?.dtype !== 'float32') {
      this.refuse(node, `the weights of ${labelOf(node)} are not constant`);
      return;
    }
    const [filters, inner] = constant.dims as [number, number];
    const isDepthwise = group > 1 && inner === 1 && filters === group;
    if (group > 1 && !isDepthwise) {
      this.refuse(node, `${labelOf(node)} has groups`);
      return;
    }
    if (isDepthwise) {
      if (!place) return;
      if (place.axis !== 1 || place.width !== 1 || !this.isOwn(weight)) {
        this.refuse(node);
        return;
      }
      const { root } = place.space;
      root.slices.push({ constant: weight, axis: 0, width: 1 });
      root.edits.push({ kind: 'group', node });
      if (bias !== '') this.cutAlong(root, bias, filters);
      this.moveOn(node, place, {});
      return;
    }
    if (place) {
      if (place.axis === 1 && place.width === 1) this.consume(node, place, weight, 1);
      else this.refuse(node);
    }
    const space = this.open(node, filters, 'channels', 1);
    const slice = { constant: weight, axis: 0, width: 1 };
    if (!this.isOwn(weight)) space.lock(`the weights ${weight} have other readers`);
    if (constant.dims.length !== 4) space.lock('it is no convolution of images');
    space.producers.push({ node, slice });
    space.slices.push(slice);
    if (bias !== '') this.cutAlong(space, bias, filters);
  }

  private alongImage(node: Node): void {
    const place = this.places.get(node.inputs[0]!);
    if (!place) return;
    const scales = node.op === 'Resize' ? node.inputs.slice(1).filter((name) => name !== '') : [];
    // Its scales and sizes name every axis, the channels' too.
    if (place.axis !== 1 || scales.some((name) => !this.keepsChannels(name))) {
      this.refuse(node);
      return;
    }
    this.moveOn(node, place, {});
  }

  private keepsChannels(name: string): boolean {
    const constant = constantAt(name, this.model.graph, this.model.irVersion);
    return constant?.dtype === 'float32' && numbersOf(constant)[1] === 1;
  }

  private normalize(node: Node): void {
    const place = this.places.get(node.inputs[0]!);
    if (!place) return;
    if (place.axis !== 1 || place.width !== 1) {
      this.refuse(node);
      return;
    }
    const { root } = place.space;
    for (const name of node.inputs.slice(1)) this.cutAlong(root, name, root.size);
    this.moveOn(node, place, {});
  }

  private combine(node: Node): void {
    const output = node.outputs[0]!;
    const rank = this.shapeOf(output)?.length;
    const placed = node.inputs.flatMap((name) => this.places.get(name) ?? []);
    const [first] = placed;
    if (!first) return;
    if (rank === undefined) {
      this.refuse(node);
      return;
    }
    for (const name of new Set(node.inputs)) {
      const place = this.places.get(name);
      const shape = this.shapeOf(name);
      if (!shape) {
        this.refuse(node);
        return;
      }
      if (place) {
        const fits = shape.length === rank && place.axis === first.axis && place.width === first.width;
        if (!fits) {
          this.refuse(node);
          return;
        }
        first.space.root.join(place.space);
        continue;
      }
      const axis = first.axis - (rank - shape.length);
      const size = axis < 0 ? 1 : shape[axis];
      if (size === 1) continue;
      const constant = constantAt(name, this.model.graph, this.model.irVersion);
      if (!constant || !this.isOwn(name) || size !== first.space.root.size * first.width) {
        this.refuse(node);
        return;
      }
      first.space.root.slices.push({ constant: name, axis, width: first.width });
    }
    this.moveOn(node, first, {});
  }

  private softmax(node: Node): void {
    const place = this.places.get(node.inputs[0]!);
    const rank = this.shapeOf(node.inputs[0]!)?.length;
    if (!place) return;
    const axis = numberAttribute(node, 'axis', -1);
    const opset = this.model.opsets[''] ?? 0;
    if (opset < 13 || rank === undefined || (axis < 0 ? axis + rank : axis) === place.axis) {
      this.refuse(node);
      return;
    }
    this.moveOn(node, place, {});
  }

  private reduce(node: Node): void {
    const place = this.places.get(node.inputs[0]!);
    if (!place) return;
    const rank = this.shapeOf(node.inputs[0]!)?.length;
    const constant = constantAt(node.inputs[1] ?? '', this.model.graph, this.model.irVersion);
    const given = numbersAttribute(node, 'axes') ?? (constant && numbersOf(constant));
    if (rank === undefined || !given) {
      this.refuse(node);
      return;
    }
    const axes = given.map((axis) => (axis < 0 ? axis + rank : axis));
    if (axes.includes(place.axis)) {
      this.refuse(node);
      return;
    }
    if (numberAttribute(node, 'keepdims', 1) !== 0) {
      this.moveOn(node, place, {});
      return;
    }
    const before = axes.filter((axis) => axis < place.axis).length;
    if (place.isImage && axes.length === 2 && before === 0) {
      this.moveOn(node, place, { isImage: false });
      return;
    }
    this.refuse(node);
  }

  private transpose(node: Node): void {
    const place = this.places.get(node.inputs[0]!);
    if (!place) return;
    const perm = numbersAttribute(node, 'perm');
    if (!perm || place.isImage) {
      this.refuse(node);
      return;
    }
    this.moveOn(node, place, { axis: perm.indexOf(place.axis) });
  }

  /** Flattens channels and what lies behind them into one axis, or parts an axis in heads, or joins them again. */
  private reshape(node: Node): void {
    const place = this.places.get(node.inputs[0]!);
    if (!place) return;
    const [from, to] = [this.shapeOf(node.inputs[0]!), this.shapeOf(node.outputs[0]!)];
    if (!from || !to) {
      this.refuse(node);
      return;
    }
    const { axis } = place;
    const inner = (shape: readonly Dim[], start: number): number =>
      shape.slice(start).reduce((product: number, dim) => product * (typeof dim === 'number' ? dim : NaN), 1);
    const sameFront = from.slice(0, axis).every((dim, at) => dim === to[at]);
    if (!sameFront) {
      this.refuse(node);
      return;
    }
    if (to.length === axis + 1 && inner(from, axis) === to[axis]) {
      const width = place.width * inner(from, axis + 1);
      // The neurons of heads are channels one by one; the places of an image are not.
      const own = !place.isImage || width === 1;
      if (place.width !== place.channels || !this.editShape(node, place, axis, width)) {
        this.refuse(node);
        return;
      }
      const merged = own
        ? { source: node.outputs[0]!, channels: width, isImage: false }
        : { source: place.source, channels: 1 };
      this.moveOn(node, place, { axis, width, ...merged });
      return;
    }
    const [count, rest] = [to[axis], inner(to, axis + 1)];
    const splits = to.length === from.length + 1 && axis === from.length - 1 && typeof count === 'number';
    if (!splits || place.width !== 1 || place.isImage || count * rest !== place.space.root.size) {
      this.refuse(node);
      return;
    }
    place.space.root.coarsen(rest);
    if (!this.editShape(node, place, axis, 1)) return;
    this.moveOn(node, place, { axis, width: 1, channels: 1, source: node.outputs[0]! });
  }

  /** @returns false when the shape is not a constant that can be changed. */
  private editShape(node: Node, place: Place, at: number, width: number): boolean {
    if (node.op === 'Flatten') {
      if (at === 1 && numberAttribute(node, 'axis', 1) === 1) return true;
      this.refuse(node);
      return false;
    }
    const constant = constantAt(node.inputs[1] ?? '', this.model.graph, this.model.irVersion);
    const size = constant && numbersOf(constant)[at];
    if (size === undefined) {
      this.refuse(node);
      return false;
    }
    // −1 is worked out, and 0 copied from an axis that has changed too.
    if (size > 0) place.space.root.edits.push({ kind: 'shape', node, at, width });
    return true;
  }
}
