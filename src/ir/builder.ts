import type { Attributes, Dim, Graph, Node, Value, ValueType } from './graph.js';
import { inferNode, refine } from './shapes.js';
import { int64s, scalar, type DType, type NumericDType, type Tensor } from './tensor.js';

export interface NodeOptions {
  readonly domain?: string;
  /** Stem of the node's name and its outputs' names; made unique. Default: the operator in lower case. */
  readonly name?: string;
  /** Number of outputs to name. Default 1. */
  readonly outputs?: number;
}

/**
 * Grows a graph node by node. Each value's type is inferred when it is emitted, so that whoever emits the next node
 * can ask for the shapes it depends on. Starts empty, or from an existing graph, whose names are then kept.
 */
export class GraphBuilder {
  readonly #inputs: Value[] = [];
  readonly #outputs: Value[] = [];
  readonly #initializers = new Map<string, Tensor>();
  readonly #nodes: Node[] = [];
  readonly #types = new Map<string, ValueType>();
  #names = new Set<string>();
  #outer: GraphBuilder | undefined;
  readonly #scalars = new Map<string, string>();
  readonly #stopped = new Set<string>();
  readonly #graphName: string;
  /** Size of onnxruntime's blocks of channels, where the graph is for a processor that has some: see gradient/blocked.ts. */
  block: number | undefined;

  constructor(from: Graph | string = 'main') {
    if (typeof from === 'string') {
      this.#graphName = from;
      return;
    }
    this.#graphName = from.name;
    for (const value of from.values.values()) this.#setType(value);
    for (const value of from.inputs) this.input(value.name, value.dtype, value.shape);
    for (const [name, constant] of from.initializers) this.initializer(name, constant);
    for (const node of from.nodes) this.add(node);
    this.#outputs.push(...from.outputs);
  }

  /** A builder for a graph inside a node of this one: it may read values of this graph, and shares its names. */
  inner(name: string): GraphBuilder {
    const inner = new GraphBuilder(name);
    inner.#names = this.#names;
    inner.#outer = this;
    return inner;
  }

  /** Declares a graph input under exactly this name. */
  input(name: string, dtype?: DType, shape?: readonly Dim[]): string {
    this.#names.add(name);
    this.#inputs.push({ name, dtype, shape });
    this.#setType({ name, dtype, shape });
    return name;
  }

  /** Adds a weight or constant under exactly this name. */
  initializer(name: string, constant: Tensor): string {
    this.#names.add(name);
    this.#initializers.set(name, constant);
    this.#types.set(name, { dtype: constant.dtype, shape: constant.dims });
    return name;
  }

  /** Adds a constant under a new name. */
  constant(constant: Tensor, stem = 'const'): string {
    return this.initializer(this.unique(stem), constant);
  }

  /** A rank-0 constant; equal ones are shared. */
  scalar(value: number, dtype: NumericDType = 'float32'): string {
    const key = `${dtype}:${Object.is(value, -0) ? '-0' : value}`;
    let name = this.#scalars.get(key);
    if (name === undefined) {
      name = this.constant(scalar(dtype, value), 'scalar');
      this.#scalars.set(key, name);
    }
    return name;
  }

  /** An int64 vector constant, for shapes and axes; equal ones are shared. */
  int64s(values: readonly number[]): string {
    const key = `int64s:${values.join(',')}`;
    let name = this.#scalars.get(key);
    if (name === undefined) {
      name = this.constant(int64s(values), 'ints');
      this.#scalars.set(key, name);
    }
    return name;
  }

  /** Emits an operator and returns the name of its first output. */
  op(op: string, inputs: readonly string[], attributes: Attributes = {}, options: NodeOptions = {}): string {
    return this.ops(op, inputs, attributes, options)[0]!;
  }

  /** Emits an operator and returns the names of all its outputs. */
  ops(
    op: string,
    inputs: readonly string[],
    attributes: Attributes = {},
    options: NodeOptions = {},
  ): string[] {
    const name = this.unique(options.name ?? op.toLowerCase());
    const count = options.outputs ?? 1;
    const outputs = [
      name,
      ...Array.from({ length: count - 1 }, (_, index) => this.unique(`${name}_${index + 1}`)),
    ];
    this.add({ op, domain: options.domain ?? '', name, inputs, outputs, attributes });
    return outputs;
  }

  /** The same value, which no gradient flows back through: what is before it does not learn from what is after it. */
  stopGradient(value: string): string {
    const stopped = this.op('Identity', [value], {}, { name: 'stopped' });
    this.#stopped.add(stopped);
    return stopped;
  }

  stopsGradient(value: string): boolean {
    return this.#stopped.has(value);
  }

  /** Adds a node as it is. Its inputs must be there already. */
  add(node: Node): void {
    this.#nodes.push(node);
    this.#infer(node);
  }

  #infer(node: Node): void {
    const types = inferNode(
      node,
      (name) => this.typeOf(name),
      (name) => this.constantOf(name),
    );
    node.outputs.forEach((name, index) => {
      if (name === '') return;
      this.#names.add(name);
      const type = refine(name, this.#types.get(name), types[index]);
      if (type) this.#types.set(name, type);
    });
  }

  /**
   * The output `index` of a node that is there already, named now if the node left it out: what a further, optional
   * output knows need not be computed again.
   */
  extend(node: Node, index: number): string {
    const at = this.#nodes.findIndex((other) => other.outputs[0] === node.outputs[0]);
    const present = this.#nodes[at]!;
    const known = present.outputs[index];
    if (known) return known;
    const name = this.unique(`${present.outputs[0]!}_${index}`);
    const outputs = Array.from({ length: Math.max(present.outputs.length, index + 1) }, (_, other) =>
      other === index ? name : (present.outputs[other] ?? ''),
    );
    const extended = { ...present, outputs };
    this.#nodes[at] = extended;
    this.#infer(extended);
    return name;
  }

  /** Puts what `emit` adds in the place of a node. It must write those outputs of the node that are read. */
  replace(node: Node, emit: () => void): void {
    const at = this.#nodes.findIndex((other) => other.outputs[0] === node.outputs[0]);
    this.#nodes.splice(at, 1);
    const end = this.#nodes.length;
    emit();
    this.#nodes.splice(at, 0, ...this.#nodes.splice(end));
  }

  /** Declares `name` as a graph output, under `as` if given (through an Identity node). */
  output(name: string, as?: string): void {
    if (as !== undefined && as !== name) {
      this.add({ op: 'Identity', domain: '', name: as, inputs: [name], outputs: [as], attributes: {} });
      this.output(as);
      return;
    }
    this.#outputs.push({ name, ...this.#statedType(name) });
  }

  /** The nodes so far, in the order in which they were added. */
  get nodes(): readonly Node[] {
    return this.#nodes;
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  constantOf(name: string): Tensor | undefined {
    return this.#initializers.get(name) ?? this.#outer?.constantOf(name);
  }

  typeOf(name: string): ValueType | undefined {
    return this.#types.get(name) ?? this.#outer?.typeOf(name);
  }

  /** @throws TypeError when the shape of `name` could not be inferred. */
  shapeOf(name: string): readonly Dim[] {
    const shape = this.typeOf(name)?.shape;
    if (!shape) throw new TypeError(`the shape of ${name} is not known`);
    return shape;
  }

  rankOf(name: string): number {
    return this.shapeOf(name).length;
  }

  dtypeOf(name: string): DType {
    const dtype = this.typeOf(name)?.dtype;
    if (!dtype) throw new TypeError(`the type of ${name} is not known`);
    return dtype;
  }

  /** Reserves and returns a name that nothing else in the graph has. */
  unique(stem: string): string {
    let name = stem;
    for (let count = 1; this.#names.has(name); count++) name = `${stem}_${count}`;
    this.#names.add(name);
    return name;
  }

  build(): Graph {
    const boundary = new Set([...this.#inputs, ...this.#outputs].map((value) => value.name));
    const values = new Map<string, Value>();
    for (const name of this.#types.keys()) {
      if (!boundary.has(name) && !this.#initializers.has(name))
        values.set(name, { name, ...this.#statedType(name) });
    }
    return {
      name: this.#graphName,
      inputs: [...this.#inputs],
      outputs: this.#outputs.map((value) => ({ ...value, ...this.#statedType(value.name) })),
      initializers: new Map(this.#initializers),
      nodes: [...this.#nodes],
      values,
    };
  }

  /** What a file can say of a value; known elements are for inference only. */
  #statedType(name: string): Partial<ValueType> {
    const type = this.#types.get(name);
    return type ? { dtype: type.dtype, shape: type.shape } : {};
  }

  #setType(value: Value): void {
    if (value.dtype) this.#types.set(value.name, { dtype: value.dtype, shape: value.shape });
  }
}
