import { attr, type Graph, type Model, type Node, type Value } from '../../../../ir/graph.js';
import { loadTensor } from '../../../../ir/onnx/external.js';
import { freshNames, removeDead } from '../../../../ir/rewrite.js';
import { inferTypes } from '../../../../ir/shapes.js';
import { int64s, numbersOf, sizeOf, tensor, valuesOf, type Tensor } from '../../../../ir/tensor.js';
import type { Stand } from './repair.js';
import type { Consumer, Slice, Space } from './spaces.js';

/** A graph whose constants are cut one after another. */
export class Cutting {
  private readonly constants: Map<string, Tensor>;
  private nodes: readonly Node[];
  private readonly fresh: (stem: string) => string;
  /** Nodes are written anew when their attributes change; slices name constants, which keep their names. */
  private readonly written = new Map<Node, Node>();
  /** Biases that layers have got. */
  private readonly biases = new Map<Node, string>();

  constructor(private readonly model: Model) {
    this.constants = new Map(model.graph.initializers);
    this.nodes = model.graph.nodes;
    this.fresh = freshNames(model.graph);
  }

  async load(name: string): Promise<Tensor> {
    const constant = await loadTensor(this.constants.get(name)!);
    this.constants.set(name, constant);
    return constant;
  }

  /** Lets the weights that read the units make up for those that go. */
  async repair(consumer: Consumer, stand: Stand, takesOffset: boolean): Promise<void> {
    const weight = await this.load(consumer.constant);
    const values = new Float32Array(valuesOf(weight) as Float32Array);
    const { outer, length, inner } = stridesOf(weight.dims, consumer.axis);
    const spread = consumer.width / consumer.channels;
    const { kept, gone, shares, offset } = stand;
    const added = new Float64Array(outer * inner);
    for (let before = 0; before < outer; before++) {
      const rowAt = (channel: number, part: number): number =>
        (before * length + channel * spread + part) * inner;
      for (let part = 0; part < spread; part++) {
        gone.forEach((channel, at) => {
          const from = rowAt(channel, part);
          for (let k = 0; k < inner; k++) added[before * inner + k]! += offset[at]! * values[from + k]!;
          kept.forEach((other, row) => {
            const share = shares[row * gone.length + at]!;
            const to = rowAt(other, part);
            for (let k = 0; k < inner; k++) values[to + k]! += share * values[from + k]!;
          });
        });
      }
    }
    this.constants.set(consumer.constant, tensor('float32', weight.dims, values));
    if (takesOffset) await this.addOffset(consumer, weight, added);
  }

  /** @param added For each element of the weights that a unit has, what it gives on average. */
  private async addOffset({ node, axis }: Consumer, { dims }: Tensor, added: Float64Array): Promise<void> {
    const outputs = node.op === 'Conv' ? dims[0]! : dims[1 - axis]!;
    const offset = new Float32Array(outputs);
    // Outputs come first in what is left of the weights' shape, and behind them the places of a kernel.
    added.forEach((value, at) => (offset[Math.floor((at * outputs) / added.length)]! += value));
    const present = this.now(node);
    const bias = present.inputs[2] ?? '';
    if (bias !== '') {
      const given = await this.load(bias);
      const before = valuesOf(given) as Float32Array;
      if (before.length > 1) {
        const sum = offset.map((value, at) => value + before[at]!);
        this.constants.set(bias, tensor('float32', given.dims, sum));
        return;
      }
      offset.forEach((value, at) => (offset[at] = value + before[0]!));
    }
    const name = this.fresh(`${node.inputs[1]}_offset`);
    this.constants.set(name, tensor('float32', [outputs], offset));
    this.biases.set(node, name);
    this.replace(node, { ...present, inputs: [...present.inputs.slice(0, 2), name] });
  }

  /** Takes the units that are not kept out of everything that has them. */
  async take(space: Space, kept: readonly number[]): Promise<void> {
    for (const slice of [...space.slices, ...space.consumers]) await this.cut(slice, kept);
    for (const { node, slice } of space.producers) {
      const constant = this.biases.get(node);
      if (constant !== undefined) await this.cut({ constant, axis: 0, width: slice.width }, kept);
    }
    for (const edit of space.edits) {
      const node = this.now(edit.node);
      if (edit.kind === 'group') {
        this.replace(edit.node, {
          ...node,
          attributes: { ...node.attributes, group: attr.int(kept.length) },
        });
        continue;
      }
      const shape = numbersOf(await this.load(node.inputs[1]!));
      shape[edit.at] = kept.length * edit.width;
      const name = this.fresh(`${node.inputs[1]}_cut`);
      this.constants.set(name, int64s(shape));
      this.replace(edit.node, { ...node, inputs: [node.inputs[0]!, name] });
    }
  }

  private async cut({ constant: name, axis, width }: Slice, kept: readonly number[]): Promise<void> {
    const constant = await this.load(name);
    const values = valuesOf(constant) as Float32Array;
    const { outer, length, inner } = stridesOf(constant.dims, axis);
    const dims = constant.dims.map((dim, at) => (at === axis ? kept.length * width : dim));
    const result = new Float32Array(sizeOf(dims));
    const run = width * inner;
    let to = 0;
    for (let before = 0; before < outer; before++) {
      for (const unit of kept) {
        const from = before * length * inner + unit * run;
        result.set(values.subarray(from, from + run), to);
        to += run;
      }
    }
    this.constants.set(name, tensor('float32', dims, result));
  }

  /** With types left to be inferred again: sizes inside have changed. */
  finish(): Model {
    const { graph } = this.model;
    const isKept = ({ opaqueType }: Value): boolean => opaqueType !== undefined;
    const values = new Map([...graph.values].filter(([, value]) => isKept(value)));
    const after: Graph = removeDead({ ...graph, nodes: this.nodes, initializers: this.constants, values });
    const types = inferTypes(after);
    for (const name of after.nodes.flatMap(({ outputs }) => outputs)) {
      const type = types.get(name);
      const isOutput = graph.outputs.some((output) => output.name === name);
      if (type && !isOutput) values.set(name, { name, dtype: type.dtype, shape: type.shape });
    }
    return { ...this.model, graph: { ...after, values } };
  }

  private now(node: Node): Node {
    return this.written.get(node) ?? node;
  }

  private replace(node: Node, by: Node): void {
    const present = this.now(node);
    this.nodes = this.nodes.map((other) => (other === present ? by : other));
    this.written.set(node, by);
  }
}

/** A row-major shape as what lies before an axis, its length, and what lies behind it. */
export function stridesOf(
  dims: readonly number[],
  axis: number,
): { readonly outer: number; readonly length: number; readonly inner: number } {
  return { outer: sizeOf(dims.slice(0, axis)), length: dims[axis]!, inner: sizeOf(dims.slice(axis + 1)) };
}
