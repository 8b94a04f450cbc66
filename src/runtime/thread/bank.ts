import type { Kernel } from '../../ir/kernel.js';
import { sizeOf, type NdArray } from '../../ir/tensor.js';

/** Tensors that lie side by side in a WebAssembly memory, so that one function goes over all of them. */
export interface BankPlan {
  readonly kernel: Kernel;
  /** For each tensor the name under which it is kept as each of the kernel's `tensors`. */
  readonly members: readonly { readonly dims: readonly number[]; readonly names: readonly string[] }[];
}

/** onnxruntime reads and writes the tensors of a bank where they are. */
export interface Bank {
  /** By the names of the plan. */
  readonly tensors: ReadonlyMap<string, NdArray>;
  /** Runs the kernel over all elements. @param scalars By the kernel's order. */
  run(scalars: readonly number[]): void;
}

/** What is used of the global that Node has: TypeScript knows it as a part of browsers only. */
interface WebAssemblyGlobal {
  readonly Memory: new (size: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (code: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: Readonly<Record<string, object>>,
  ) => { readonly exports: Readonly<Record<string, (...numbers: number[]) => void>> };
}

/** Bytes of a vector, and of a page of WebAssembly memory. */
const [vector, page] = [16, 2 ** 16];
/** Elements that are next to each other in different tensors should not fall on the same lines of a cache. In bytes. */
const skew = 17 * 64;
/** Bytes for one call: V8 optimises a function between calls only. */
const chunk = 2 ** 17;

/** Most bytes of a memory, of which a bank uses one: all that 32 bits can count, but for a page. */
export const bankLimit = 2 ** 32 - page;

/** Room that each kind of tensor takes. In bytes. */
export function planeBytes(members: BankPlan['members']): number {
  return members.reduce((sum, { dims }) => sum + align(4 * sizeOf(dims)), skew);
}

export function openBank({ kernel, members }: BankPlan): Bank {
  const plane = planeBytes(members);
  const used = plane - skew;
  const pages = Math.ceil((plane * kernel.tensors.length) / page);
  const { Memory, Module, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyGlobal })
    .WebAssembly;
  const memory = new Memory({ initial: pages, maximum: pages });
  const run = new Instance(new Module(kernel.code), { host: { memory } }).exports['run']!;
  const tensors = new Map<string, NdArray>();
  let at = 0;
  for (const { dims, names } of members) {
    const size = sizeOf(dims);
    names.forEach((name, kind) => {
      const data = new Float32Array(memory.buffer, kind * plane + at, size);
      tensors.set(name, { dtype: 'float32', dims, data });
    });
    at += align(4 * size);
  }
  return {
    tensors,
    run(scalars) {
      for (let from = 0; from < used; from += chunk) {
        const pointers = kernel.tensors.map((_, kind) => kind * plane + from);
        run(Math.min(chunk, used - from), ...pointers, ...scalars);
      }
    },
  };
}

function align(bytes: number): number {
  return Math.ceil(bytes / vector) * vector;
}
