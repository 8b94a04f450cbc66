import type { Port } from '../../../data/signature.js';
import { MaasError } from '../../../errors.js';
import { toHalves } from '../../../ir/half.js';
import { allocate, isNumeric, type DType } from '../../../ir/tensor.js';
import { didYouMean } from '../../../suggest.js';
import type { Ports } from '../check-inputs.js';
import type { PaddingOptions } from './options.js';

/** A dimension along which requests are padded. */
export interface PaddedDimension {
  readonly name: string;
  /** Ascending. */
  readonly buckets: readonly number[] | 'auto';
}

/** Axis → what it is padded or cut along. */
export type PaddedAxes = ReadonlyMap<number, PaddedDimension>;

export interface PaddedInput {
  readonly axes: PaddedAxes;
  /** As the input's typed array holds it. */
  readonly value: number | bigint;
}

/** What is padded, and what is cut back; by the names of the model's tensors. */
export interface PaddingPlan {
  readonly dimensions: readonly PaddedDimension[];
  readonly inputs: ReadonlyMap<string, PaddedInput>;
  readonly outputs: ReadonlyMap<string, PaddedAxes>;
}

/** Names of dimensions that the inputs leave open, the batch aside. */
export function openDimensions({ inputs }: Ports): string[] {
  const names = inputs.flatMap(({ shape }) => shape.slice(1).filter((dim) => typeof dim === 'string'));
  return [...new Set(names)].filter((name) => name !== inputs[0]!.shape[0]);
}

/**
 * Finds the tensors that have the dimensions.
 * @throws MaasError MAAS_CONFIG_INVALID for a dimension or an input that the model does not have, an input of text, and a
 * value that an input cannot hold.
 */
export function planPadding(ports: Ports, options: PaddingOptions): PaddingPlan {
  const dimensions = Object.entries(options).map(([name, { buckets }]) => ({ name, buckets }));
  const known = openDimensions(ports);
  for (const { name } of dimensions) {
    if (known.includes(name)) continue;
    throw invalid(
      `padding: no input of the model has an open dimension ${name}${name === ports.inputs[0]?.shape[0] ? ' beside its batch' : ''}`,
      didYouMean(name, known) ??
        (known.length > 0 ? `There is ${known.join(', ')}.` : 'All of its dimensions are fixed.'),
    );
  }
  const axesOf = ({ shape }: Port): PaddedAxes =>
    new Map(
      shape.flatMap((dim, axis) => {
        const dimension = dimensions.find(({ name }) => name === dim);
        return dimension ? [[axis, dimension] as const] : [];
      }),
    );
  const padded = (all: readonly Port[]) =>
    all.map((port) => ({ port, axes: axesOf(port) })).filter(({ axes }) => axes.size > 0);
  const [inputs, outputs] = [padded(ports.inputs), padded(ports.outputs)];
  for (const [name, { value }] of Object.entries(options)) {
    if (typeof value !== 'object') continue;
    const having = inputs.filter(({ port }) => port.shape.includes(name)).map(({ port }) => port.name);
    for (const input of Object.keys(value)) {
      if (having.includes(input)) continue;
      throw invalid(
        `padding.${name}.value: the model has no input ${input} with ${name}`,
        didYouMean(input, having) ?? `There is ${having.join(', ')}.`,
      );
    }
  }
  return {
    dimensions,
    inputs: new Map(
      inputs.map(({ port, axes }) => [port.name, { axes, value: valueFor(port, axes, options) }]),
    ),
    outputs: new Map(outputs.map(({ port, axes }) => [port.name, axes])),
  };
}

/** @throws MaasError MAAS_CONFIG_INVALID */
function valueFor({ name, dtype }: Port, axes: PaddedAxes, options: PaddingOptions): number | bigint {
  const wanted = [...axes.values()].map((dimension) => {
    const { value } = options[dimension.name]!;
    return {
      dimension: dimension.name,
      value: typeof value === 'object' ? (value[name] ?? 0) : value,
    };
  });
  const { dimension, value } = wanted[0]!;
  const other = wanted.find((also) => also.value !== value);
  if (other) {
    throw invalid(
      `padding: input ${name} is to be padded with ${value} along ${dimension}, and with ${other.value} along ${other.dimension}`,
      'Give both the same value.',
    );
  }
  if (dtype === 'string') {
    throw invalid(
      `padding.${dimension}: input ${name} holds text, which nothing stands beside`,
      'Only numbers can be padded: take the tokenizer out of the model.',
    );
  }
  const element = asElement(dtype, value);
  if (element !== undefined) return element;
  throw invalid(
    `padding.${dimension}.value: input ${name} holds ${dtype}, and not ${value}`,
    `Give it a value of its own: value: { ${name}: 0 }.`,
  );
}

/** The number as an array of this type holds it; undefined when none does. */
function asElement(dtype: DType, value: number): number | bigint | undefined {
  if (value === 0) return dtype === 'int64' || dtype === 'uint64' ? 0n : 0;
  if (!isNumeric(dtype) || dtype === 'bfloat16') return undefined;
  if (dtype === 'bool') return value === 1 ? 1 : undefined;
  if (dtype === 'float32' || dtype === 'float64') return value;
  if (dtype === 'float16') return toHalves(Float32Array.of(value))[0]!;
  if (!Number.isInteger(value)) return undefined;
  const held = allocate(dtype, 1);
  held[0] = held instanceof BigInt64Array || held instanceof BigUint64Array ? BigInt(value) : value;
  return Number(held[0]) === value ? held[0] : undefined;
}

function invalid(message: string, hint: string): MaasError {
  return new MaasError('MAAS_CONFIG_INVALID', `serve.${message}`, { hint });
}
