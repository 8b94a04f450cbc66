import { unsupportedLayer, type LayerTitle } from './problems.js';

/** Settings that say nothing about what a trained layer gives. */
const withoutEffect = new Set([
  ...[
    'name',
    'trainable',
    'dtype',
    'batch_input_shape',
    'batch_shape',
    'build_config',
    'registered_name',
    'module',
  ],
  ...[
    'input_shape',
    'input_dtype',
    'sparse',
    'ragged',
    'optional',
    'autocast',
    'seed',
    'rate',
    'stddev',
    'noise_shape',
  ],
  ...['implementation', 'unroll', 'time_major', 'zero_output_for_mask', 'unit_forget_bias', 'dropout'],
  ...['recurrent_dropout', 'input_length', 'input_dim', 'momentum', 'renorm', 'fused', 'virtual_batch_size'],
  ...[
    'synchronized',
    'lora_rank',
    'lora_alpha',
    'quantization_config',
    'use_cudnn',
    'weights',
    'build_input_shape',
  ],
]);

const isWithoutEffect = (key: string): boolean =>
  withoutEffect.has(key) || /(^|_)(initializer|regularizer|constraint|init)$/.test(key);

/** The config of a layer. Reads are noted, so that what nobody read, but has an effect, is not passed over. */
export class Settings {
  readonly #read = new Set<string>();

  constructor(
    readonly title: LayerTitle,
    private readonly config: Readonly<Record<string, unknown>>,
  ) {}

  raw(key: string): unknown {
    this.#read.add(key);
    return this.config[key] ?? undefined;
  }

  number(key: string, otherwise?: number): number {
    const value = this.raw(key) ?? otherwise;
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw this.fail(key);
  }

  flag(key: string, otherwise: boolean): boolean {
    const value = this.raw(key) ?? otherwise;
    if (typeof value === 'boolean' || value === 0 || value === 1) return Boolean(value);
    throw this.fail(key);
  }

  text<Choice extends string>(key: string, choices: readonly Choice[], otherwise: Choice): Choice {
    const value = this.raw(key) ?? otherwise;
    const found = choices.find((choice) => choice === value);
    if (found !== undefined) return found;
    throw this.fail(key);
  }

  /** A list of numbers; one number stands for `count` of them. */
  numbers(key: string, count?: number, otherwise?: readonly number[]): number[] {
    const value = this.raw(key) ?? otherwise;
    if (typeof value === 'number' && count !== undefined) return Array<number>(count).fill(value);
    const isList = Array.isArray(value) && value.every((each) => typeof each === 'number');
    if (isList && (count === undefined || value.length === count)) return [...value];
    throw this.fail(key);
  }

  /** The error for a setting that is wrong, or that maas cannot express. */
  fail(key: string, why?: string): Error {
    const value = JSON.stringify(this.config[key]) as string | undefined;
    return unsupportedLayer(
      this.title,
      `${key} is ${value ?? 'missing'}${why === undefined ? '' : `: ${why}`}`,
    );
  }

  /** @throws MaasError MAAS_MODEL_UNSUPPORTED for a setting that is on, and that nobody asked for. */
  expectAllRead(): void {
    for (const [key, value] of Object.entries(this.config)) {
      const isOff = value === null || value === undefined || value === false || value === 0 || value === '';
      if (isOff || this.#read.has(key) || isWithoutEffect(key)) continue;
      throw this.fail(key, 'maas does not know this setting');
    }
  }
}
