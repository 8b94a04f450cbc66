import type { Port } from '../../data/signature.js';
import { MaasError } from '../../errors.js';
import { allocate, isNumeric, sizeOf, type DType, type NdArray } from '../../ir/tensor.js';
import type { Feeds, Session, Slot, Slots } from '../../runtime/session.js';
import type { Ports } from './check-inputs.js';
import type { Golden } from './golden.js';
import { joinRows } from '../../runtime/rows.js';
import { judgeCompany, type WarmUp } from './warm-up.js';

/** Rows that a model is tried out with. */
const rowCount = 3;

/** Sizes that dimensions without a fixed one are tried with: lists of words, then sides of images. */
const freeSizes = [8, 1, 32, 64, 128, 224] as const;

/** An answer's difference between alone and in company that is rounding: kernels sum in another order. */
const tolerance = 1e-3;

export interface Trial extends WarmUp {
  readonly ports: Ports;
  /** Made-up rows and their answers; undefined where the model takes none that were tried. */
  readonly golden: Golden | undefined;
}

/**
 * Runs a model that nothing is known of with made-up rows, which warms it up, and looks whether rows keep to
 * themselves. Only then may requests share a run; else each runs as it came.
 * @throws MaasError MAAS_MODEL_UNSUPPORTED when it takes or gives something that no protocol carries.
 */
export async function tryOut(
  slots: Slots,
  run: (feeds: Feeds) => ReturnType<Session['run']>,
): Promise<Trial> {
  const ports = readPorts(slots);
  const shared = shareBatch(ports);
  for (const free of freeSizes) {
    const rows = Array.from({ length: shared ? rowCount : 1 }, (_, row) => makeRow(ports, free, row + 1));
    try {
      const answers: Record<string, NdArray>[] = [];
      for (const row of rows) answers.push(await run(row));
      if (!shared) return { rows: 'as-given', ports, golden: { inputs: rows[0]!, outputs: {}, tolerance } };
      const outputs = joinRows(answers.map((answer) => pick(answer, shared)));
      const golden = { inputs: joinRows(rows), outputs, tolerance };
      const { rows: policy, reason } = await judgeCompany({ run }, golden);
      if (policy === 'share') return { rows: 'share', ports: shared, golden };
      // Nobody said that dimension 0 is the batch: to cut a request into rows could change its meaning.
      return { rows: 'as-given', ports, golden, ...(reason !== undefined && { reason }) };
    } catch (error) {
      if (error instanceof MaasError && error.code !== 'MAAS_VERIFY_FAILED') throw error;
    }
    if (!hasFreeSizes(ports)) break;
  }
  return {
    rows: 'as-given',
    ports,
    golden: undefined,
    reason: 'it takes none of the rows it was tried with',
  };
}

function readPorts({ inputs, outputs }: Slots): Ports {
  const strange = inputs.find(({ dtype }) => dtype === undefined);
  if (strange)
    throw unsupported(`input ${strange.name} is a sequence or a map: protocols carry tensors only`);
  // Maps beside tensors are common (probabilities by name): what can be carried is served.
  const tensors = outputs.filter(({ dtype }) => dtype !== undefined);
  if (tensors.length === 0) throw unsupported('it gives no tensors: protocols carry nothing else');
  return { inputs: inputs.map(toPort), outputs: tensors.map(toPort) };
}

/** A dimension without a name is like no other. */
function toPort({ name, dtype, shape }: Slot): Port {
  return { name, dtype: dtype!, shape: shape.map((dim, axis) => (dim === '' ? `${name}.${axis}` : dim)) };
}

/** The ports with one name for dimension 0, where that may be the batch: the inputs agree on it, no output fixes it. */
function shareBatch({ inputs, outputs }: Ports): Ports | undefined {
  const ports = [...inputs, ...outputs];
  if (!ports.every(({ shape }) => typeof shape[0] === 'string')) return undefined;
  if (new Set(inputs.map(({ shape }) => shape[0])).size !== 1) return undefined;
  const name = (port: Port): Port => ({ ...port, shape: ['N', ...port.shape.slice(1)] });
  return { inputs: inputs.map(name), outputs: outputs.map(name) };
}

function hasFreeSizes({ inputs }: Ports): boolean {
  return inputs.some(({ shape }) => shape.slice(1).some((dim) => typeof dim === 'string'));
}

/** Small numbers of both signs, and of the integers only 0 and 1: they may be indices, of words or of classes. */
function makeRow({ inputs }: Ports, free: number, seed: number): Record<string, NdArray> {
  let state = Math.imul(seed, 0x9e3779b1);
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  const make = (dtype: DType, dims: number[]): NdArray => {
    const size = sizeOf(dims);
    if (dtype === 'string') return { dtype, dims, data: new Array<string>(size).fill(`${seed}`) };
    if (!isNumeric(dtype)) throw unsupported(`no protocol carries ${dtype} tensors`);
    const data = allocate(dtype, size);
    const isWide = data instanceof BigInt64Array || data instanceof BigUint64Array;
    for (let index = 0; index < size; index++) {
      const value = next();
      if (isWide) data[index] = BigInt(value > 0);
      // As their bits, half floats of 0 and 1 stay next to zero.
      else data[index] = dtype === 'float32' || dtype === 'float64' ? value : Number(value > 0);
    }
    return { dtype, dims, data };
  };
  return Object.fromEntries(
    inputs.map(({ name, dtype, shape }) => {
      const dims = shape.map((dim, axis) => (typeof dim === 'number' ? dim : axis === 0 ? 1 : free));
      return [name, make(dtype, dims)];
    }),
  );
}

function pick(answer: Readonly<Record<string, NdArray>>, { outputs }: Ports): Record<string, NdArray> {
  return Object.fromEntries(outputs.map(({ name }) => [name, answer[name]!]));
}

function unsupported(message: string): MaasError {
  return new MaasError('MAAS_MODEL_UNSUPPORTED', `the model cannot be served: ${message}`, {
    hint: 'Export it with tensors for inputs and outputs (for scikit-learn: zipmap=False).',
  });
}
