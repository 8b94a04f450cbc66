import { numbersAttribute, type Attributes, type Node, type ValueType } from '../graph.js';
import { toHalves } from '../half.js';
import { int64s, isNumeric, numbersOf, scalar, tensor, type Tensor } from '../tensor.js';

/** What conversion knows around a node. */
export interface Surroundings {
  typeOf(name: string): ValueType | undefined;
  constantOf(name: string): Tensor | undefined;
  /** Whether anything reads the value. */
  isRead(name: string): boolean;
  /** Places a constant, and tells its name. Equal ones are placed once. */
  place(stem: string, key: string, constant: Tensor): string;
  fresh(stem: string): string;
  /** Outputs of what was an Upsample once: their scales are 1 or more. */
  readonly enlarged: Set<string>;
}

/** A node that an operator set changed, seen by a rule. */
export class Site {
  constructor(
    readonly node: Node,
    readonly around: Surroundings,
  ) {}

  has(index: number): boolean {
    return (this.node.inputs[index] ?? '') !== '';
  }

  /** Whether anything asks for an output. */
  asks(index: number): boolean {
    return this.around.isRead(this.node.outputs[index] ?? '');
  }

  rankOf(index: number): number | undefined {
    return this.around.typeOf(this.node.inputs[index] ?? '')?.shape?.length;
  }

  /** The numbers of a small constant input that are in memory. */
  numbersAt(index: number): number[] | undefined {
    const constant = this.around.constantOf(this.node.inputs[index] ?? '');
    const isReadable = constant && isNumeric(constant.dtype) && constant.data instanceof Uint8Array;
    return isReadable ? numbersOf(constant) : undefined;
  }

  /** An integer attribute as an int64 vector input; '' where it is left out. */
  integers(name: string): string {
    const attribute = this.node.attributes[name];
    if (attribute?.type !== 'ints') return '';
    const { value } = attribute;
    return this.around.place(name, value.join(), tensor('int64', [value.length], value));
  }

  floats(name: string): string {
    const numbers = numbersAttribute(this.node, name);
    if (!numbers) return '';
    return this.around.place(name, numbers.join(), tensor('float32', [numbers.length], numbers));
  }

  sizes(name: string, sizes: readonly number[]): string {
    return this.around.place(name, sizes.join(), int64s(sizes));
  }

  /** A float attribute as a scalar of the type of the first input. @returns undefined where that is not known. */
  scalarLikeInput(name: string, value: number): string | undefined {
    const dtype = this.around.typeOf(this.node.inputs[0]!)?.dtype;
    if (!dtype || !isNumeric(dtype) || dtype === 'bfloat16') return undefined;
    const constant =
      dtype === 'float16' ? tensor('float16', [], toHalves(Float32Array.of(value))) : scalar(dtype, value);
    return this.around.place(name, `${dtype} ${value}`, constant);
  }

  /** The node with other inputs or attributes. */
  with(changes: Partial<Pick<Node, 'op' | 'inputs' | 'outputs' | 'attributes'>>): Node {
    return { ...this.node, ...changes };
  }

  /** The attributes but for some. */
  without(...names: string[]): Attributes {
    return Object.fromEntries(Object.entries(this.node.attributes).filter(([name]) => !names.includes(name)));
  }

  /** The inputs, with others in the places given. Nothing that is left out stands at the end. */
  inputs(places: Readonly<Record<number, string>>): string[] {
    const last = Math.max(this.node.inputs.length - 1, ...Object.keys(places).map(Number));
    const inputs = Array.from({ length: last + 1 }, (_, at) => places[at] ?? this.node.inputs[at] ?? '');
    while (inputs.at(-1) === '') inputs.pop();
    return inputs;
  }
}

/**
 * Writes a node of the operator set before a change as that change has it.
 * @returns nodes that give the same; undefined when it may stay as it is; the reason when there is no such thing.
 */
export type OpsetRule = (site: Site) => readonly Node[] | Node | undefined | string;
