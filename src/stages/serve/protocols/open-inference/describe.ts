import type { Port } from '../../../../data/signature.js';
import type { ServedModel, ServeHost } from '../../../../plugin/api.js';

/** By the names that Triton gives them. */
export function extensionsOf({ repository }: ServeHost): string[] {
  return ['binary_tensor_data', ...(repository ? ['model_repository'] : [])];
}

/** -1 is any size. */
export function sizesOf({ shape }: Port): number[] {
  return shape.map((dim) => (typeof dim === 'number' ? dim : -1));
}

/** The versions that can be asked for. */
export function versionsOf({ name }: ServedModel, host: ServeHost): string[] {
  return host
    .index()
    .filter((other) => other.name === name)
    .map(({ version }) => version);
}
