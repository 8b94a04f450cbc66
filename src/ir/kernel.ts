import type { Graph, Node } from './graph.js';
import { isNumeric, numbersOf } from './tensor.js';

/**
 * Elementwise operators as one WebAssembly function: a single pass over memory where onnxruntime makes one for each
 * operator. Rounds as they do, operator by operator, so that the bits are the same.
 */
export interface Kernel {
  /** A module that imports `host.memory` and exports `run(end, …pointers, …scalars)`. */
  readonly code: Uint8Array<ArrayBuffer>;
  /** Inputs with elements, in the order of their pointers: all of the same size, `end` bytes, a multiple of 16. */
  readonly tensors: readonly string[];
  /** Inputs of rank 0, in the order of the scalars after them. */
  readonly scalars: readonly string[];
}

/** Opcodes of the WebAssembly core specification 2.0, and of its vector instructions (prefix 0xfd). */
const code = {
  i32: 0x7f,
  f32: 0x7d,
  v128: 0x7b,
  loop: 0x03,
  end: 0x0b,
  branchIf: 0x0d,
  get: 0x20,
  set: 0x21,
  tee: 0x22,
  addI32: 0x6a,
  lessI32: 0x49,
  constI32: 0x41,
  constF32: 0x43,
  nothing: 0x40,
};
const simd = (opcode: number): number[] => [0xfd, ...unsigned(opcode)];
const load = [...simd(0x00), 4, 0];
const store = [...simd(0x0b), 4, 0];
const splat = simd(0x13);
const [lessThan, greaterThan, and] = [simd(0x43), simd(0x44), simd(0x4e)];

/** Emits an operator, given how its operands are put onto the stack. */
type Emit = (...operands: number[][]) => number[];
const each =
  (opcode: number): Emit =>
  (...operands) => [...operands.flat(), ...simd(opcode)];

const operators: Readonly<Record<string, Emit>> = {
  Abs: each(0xe0),
  Neg: each(0xe1),
  Sqrt: each(0xe3),
  Add: each(0xe4),
  Sub: each(0xe5),
  Mul: each(0xe6),
  Div: each(0xe7),
  Min: each(0xe8),
  Max: each(0xe9),
  Identity: (operand) => operand,
  /** (x > 0 ? 1 : 0) − (x < 0 ? 1 : 0) */
  Sign: (operand) => {
    const [zero, one] = [constant(0), constant(1)];
    const where = (test: number[]) => [...operand, ...zero, ...test, ...one, ...and];
    return [...where(greaterThan), ...where(lessThan), ...simd(0xe5)];
  },
};

/**
 * Compiles a graph of elementwise operators over inputs of one shape, scalars and constants.
 * @param into For each output of the graph the input in whose place it is written.
 * @returns Undefined when it has an operator that is not known here.
 */
export function compileKernel(graph: Graph, into: readonly string[]): Kernel | undefined {
  if (!graph.nodes.every(isKnown)) return undefined;
  const ofRank = (scalar: boolean) =>
    graph.inputs.filter(({ shape }) => (shape?.length === 0) === scalar).map(({ name }) => name);
  const [tensors, scalars] = [ofRank(false), ofRank(true)];
  const { at, count, declare } = numberLocals(1 + tensors.length + scalars.length);
  const pointer = (name: string): number => 1 + tensors.indexOf(name);
  const address = (name: string): number[] => [
    ...[code.get, ...unsigned(pointer(name))],
    ...[code.get, ...unsigned(at.offset), code.addI32],
  ];

  // What is the same for all elements is worked out before the loop.
  const [before, inside]: [number[], number[]] = [[], []];
  const uniform = new Set<string>();
  const write = (where: number[], name: string, value: readonly number[]): void => {
    where.push(...value, code.set, ...unsigned(declare(name)));
  };
  for (const [index, name] of scalars.entries()) {
    uniform.add(name);
    write(before, name, [code.get, ...unsigned(1 + tensors.length + index), ...splat]);
  }
  for (const [name, value] of graph.initializers) {
    const numbers = isNumeric(value.dtype) ? numbersOf(value) : [];
    if (numbers.length !== 1) return undefined;
    uniform.add(name);
    write(before, name, constant(numbers[0]!));
  }
  for (const name of tensors) write(inside, name, [...address(name), ...load]);
  const read = (name: string): number[] => [code.get, ...unsigned(declare(name))];
  for (const { op, inputs, outputs } of graph.nodes) {
    const same = inputs.every((name) => uniform.has(name));
    if (same) uniform.add(outputs[0]!);
    write(same ? before : inside, outputs[0]!, operators[op]!(...inputs.map(read)));
  }
  for (const [index, { name }] of graph.outputs.entries()) {
    inside.push(...address(into[index]!), ...read(name), ...store);
  }
  const body = [
    ...before,
    ...[code.loop, code.nothing, ...inside],
    ...[code.get, ...unsigned(at.offset), code.constI32, 16, code.addI32, code.tee, ...unsigned(at.offset)],
    ...[code.get, 0, code.lessI32, code.branchIf, 0, code.end],
  ];
  return { code: assemble(body, tensors.length, scalars.length, count()), tensors, scalars };
}

function isKnown({ op, domain, inputs, outputs }: Node): boolean {
  return domain === '' && op in operators && outputs.length === 1 && inputs.length <= 2;
}

/** Numbers of locals: the offset in bytes, then a vector for each value. */
function numberLocals(parameters: number): {
  readonly at: { readonly offset: number };
  readonly declare: (name: string) => number;
  readonly count: () => number;
} {
  const known = new Map<string, number>();
  return {
    at: { offset: parameters },
    declare(name) {
      const found = known.get(name) ?? parameters + 1 + known.size;
      known.set(name, found);
      return found;
    },
    count: () => known.size,
  };
}

/** The binary format: types, imports, functions, exports, code. */
function assemble(
  body: readonly number[],
  tensors: number,
  scalars: number,
  vectors: number,
): Uint8Array<ArrayBuffer> {
  const types = [...filled(1 + tensors, code.i32), ...filled(scalars, code.f32)];
  const locals = [2, 1, code.i32, ...unsigned(vectors), code.v128];
  const whole = [...locals, ...body, code.end];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, ...unsigned(types.length), ...types, 0]),
    ...section(2, [1, ...text('host'), ...text('memory'), 2, 0, 1]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...text('run'), 0, 0]),
    ...section(10, [1, ...unsigned(whole.length), ...whole]),
  ]);
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...unsigned(content.length), ...content];
}

function text(value: string): number[] {
  return [value.length, ...Buffer.from(value)];
}

function filled(length: number, value: number): number[] {
  return Array.from({ length }, () => value);
}

/** The same number in each element of a vector. */
function constant(value: number): number[] {
  return [code.constF32, ...new Uint8Array(Float32Array.of(value).buffer), ...splat];
}

/** Unsigned LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}
