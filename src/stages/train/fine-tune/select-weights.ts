import { matchesAny, matchesPattern, type ConfigPath } from '../../../config/index.js';
import { didYouMean } from '../../../suggest.js';
import { MaasError, type Place } from '../../../errors.js';

/** Patterns of names: * stands for any text. */
export interface Selection {
  readonly freeze?: readonly string[];
  readonly train?: readonly string[];
}

/**
 * Those of `names` that match a pattern of `train`, where there are any, and none of `freeze`.
 * @throws MaasError MAAS_CONFIG_INVALID for a pattern that matches nothing, and when nothing is left to train.
 */
export function selectWeights(
  names: readonly string[],
  { freeze = [], train }: Selection,
  place: (path: ConfigPath) => Place,
): string[] {
  for (const [key, patterns] of Object.entries({ freeze, train: train ?? [] })) {
    expectMatches(names, patterns, (index) => place(['train', 'model', key, index]));
  }
  return names.filter(
    (name) => (train === undefined || matchesAny(name, train)) && !matchesAny(name, freeze),
  );
}

/** @throws MaasError MAAS_CONFIG_INVALID for a pattern that matches no name. */
export function expectMatches(
  names: readonly string[],
  patterns: readonly string[],
  place: (index: number) => Place,
): void {
  patterns.forEach((pattern, index) => {
    if (names.some((name) => matchesPattern(name, pattern))) return;
    throw new MaasError('MAAS_CONFIG_INVALID', `no weight of the model is called ${pattern}`, {
      place: place(index),
      hint: didYouMean(pattern, names) ?? `The weights are ${shortList(names)}; * stands for any text.`,
    });
  });
}

/** Names for one line. */
export function shortList(names: readonly string[], most = 8): string {
  return names.length > most ? `${names.slice(0, most).join(', ')}, …` : names.join(', ');
}
