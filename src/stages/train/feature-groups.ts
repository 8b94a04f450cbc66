import { matchesAny, matchesPattern, type ConfigPath } from '../../config/index.js';
import type { Feature } from '../../data/index.js';
import { MaasError, type Place } from '../../errors.js';
import { didYouMean } from '../../suggest.js';
import { firstSource, type Sources } from './layers/emit-layers.js';
import { shortList } from './fine-tune/select-weights.js';

/** Features by the name of the input that they make; * in a feature's name stands for any text. */
export type FeatureGroups = Readonly<Record<string, readonly string[]>>;

export interface OpenGroups {
  readonly sources: Sources;
  /**
   * To be called when the layers are there.
   * @throws MaasError MAAS_MODEL_SHAPE for an input that no layer reads, and features that go nowhere.
   */
  expectRead(): void;
}

/**
 * What layers may read: each group of features as one value, and `features`, all of them.
 * @param emit Emits what some features give, [N, …].
 * @throws MaasError MAAS_CONFIG_INVALID for a name that no feature has.
 */
export function openGroups(
  groups: FeatureGroups,
  features: readonly Feature[],
  emit: (features: readonly Feature[]) => string,
  place: (path: ConfigPath) => Place,
): OpenGroups {
  const names = features.map(({ name }) => name);
  const read = new Set<string>();
  const path = ['train', 'model', 'inputs'];
  const members = new Map<string, readonly Feature[]>([[firstSource, features]]);
  for (const [group, patterns] of Object.entries(groups)) {
    patterns.forEach((pattern, index) => {
      if (names.some((name) => matchesPattern(name, pattern))) return;
      throw new MaasError('MAAS_CONFIG_INVALID', `the data has no feature "${pattern}"`, {
        place: place([...path, group, index]),
        hint: didYouMean(pattern, names) ?? `Features: ${shortList(names)}; * stands for any text.`,
      });
    });
    members.set(
      group,
      features.filter(({ name }) => matchesAny(name, patterns)),
    );
  }
  const emitted = new Map<string, string>();
  const sources = new Map(
    [...members].map(([name, own]) => [
      name,
      () => {
        read.add(name);
        const value = emitted.get(name) ?? emit(own);
        emitted.set(name, value);
        return value;
      },
    ]),
  );
  return {
    sources,
    expectRead() {
      const idle = Object.keys(groups).find((name) => !read.has(name));
      if (idle !== undefined) {
        throw new MaasError('MAAS_MODEL_SHAPE', `no layer reads the input "${idle}"`, {
          place: place([...path, idle]),
          hint: `Write inputs: ${idle} in a layer, or remove it.`,
        });
      }
      const fed = new Set([...read].flatMap((name) => members.get(name)!));
      const lost = features.filter((feature) => !fed.has(feature)).map(({ name }) => name);
      if (lost.length === 0) return;
      throw new MaasError('MAAS_MODEL_SHAPE', `no layer reads ${shortList(lost)}`, {
        place: place(path),
        hint: 'Add it to an input, or list it under data.exclude: a request would have to hold it for nothing.',
      });
    },
  };
}
