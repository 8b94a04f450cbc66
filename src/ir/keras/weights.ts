import { permuteAxes } from '../arrange.js';
import { tensor, type NdArray, type Tensor } from '../tensor.js';
import { invalidKeras } from './problems.js';

/** Names of the layers around a weight, from the outermost, and the layer's own. */
export type Scope = readonly string[];

/**
 * The weights of a model by name. Names are those of TensorFlow variables, layer/weight, with the names of models and
 * cells between them or not, as the version had it that wrote the file.
 */
export class KerasWeights {
  readonly #taken = new Set<string>();
  readonly #byPart = new Map<string, { name: string; path: readonly string[] }[]>();

  constructor(private readonly arrays: ReadonlyMap<string, NdArray>) {
    for (const name of arrays.keys()) {
      const path = name.replace(/:\d+$/, '').split('/');
      const part = path.pop()!;
      this.#byPart.set(part, [...(this.#byPart.get(part) ?? []), { name, path }]);
    }
  }

  /**
   * @param part Its name in Keras, such as recurrent_kernel.
   * @throws MaasError MAAS_MODEL_INVALID when several could be meant.
   */
  find(scope: Scope, part: string): NdArray | undefined {
    const all = this.#byPart.get(part) ?? [];
    // Variables need not bear the names of the models around.
    for (let from = 0; from < scope.length; from++) {
      const wanted = scope.slice(from);
      const fitting = all.filter(({ path }) => isWithin(wanted, path));
      const fewest = Math.min(...fitting.map(({ path }) => path.length));
      const [found, other] = fitting.filter(({ path }) => path.length === fewest);
      if (found && other)
        throw invalidKeras(`${found.name} and ${other.name} could both be ${scope.join('/')}/${part}`);
      if (!found) continue;
      this.#taken.add(found.name);
      return this.arrays.get(found.name)!;
    }
    return undefined;
  }

  /** @throws MaasError MAAS_MODEL_INVALID when there are weights that no layer has asked for. */
  expectAllTaken(): void {
    const left = [...this.arrays.keys()].filter((name) => !this.#taken.has(name) && !isState(name));
    if (left.length > 0)
      throw invalidKeras(
        `no layer has the weights ${left.slice(0, 4).join(', ')}${left.length > 4 ? ', …' : ''}`,
      );
  }
}

/** Random generators, and optimizers' counts. */
const isState = (name: string): boolean =>
  /seed_generator|(^|\/)(iteration|iterations|learning_rate)$/.test(name);

/** Whether all names come up in the path, in their order. */
function isWithin(names: Scope, path: readonly string[]): boolean {
  let at = 0;
  for (const step of path) if (step === names[at]) at++;
  return at === names.length;
}

/** A weight as a constant of the graph. */
export const asTensor = ({ dims, data }: NdArray): Tensor => tensor('float32', dims, data as Float32Array);

/** Axes in another order: axis i of what is given is axis `perm[i]` of the array. */
export const rearranged = (array: NdArray, perm: readonly number[]): NdArray =>
  permuteAxes(array as NdArray<'float32'>, perm);
