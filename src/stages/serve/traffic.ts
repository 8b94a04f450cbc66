import { hash } from 'node:crypto';
import type { HttpRequest, ServedModel } from '../../plugin/api.js';
import type { NdArray } from '../../ir/tensor.js';
import type { Feeds } from '../../runtime/session.js';

/** Which versions of a model answer requests that name none. */
export interface Traffic {
  /** Names of versions, beside those in the folder of models. */
  readonly aliases?: Readonly<Record<string, string>> | undefined;
  /** Version or alias → its share, of all shares together. */
  readonly split?: Readonly<Record<string, number>> | undefined;
  /** Header whose value decides: equal values get the same version. */
  readonly sticky?: string | undefined;
  /** Version or alias that gets every request a second time; its answers are compared and go to nobody. */
  readonly shadow?: string | undefined;
}

/** What became of a request's second run. */
export interface ShadowReport {
  readonly model: string;
  /** Version whose answer the caller got. */
  readonly version: string;
  readonly shadow: string;
  /** Dropped: too many were waiting already. */
  readonly result: 'same' | 'different' | 'failed' | 'dropped';
  /** Greatest difference of two numbers of the answers; undefined where they have other types or shapes. */
  readonly difference?: number;
}

/** Requests that may wait for a shadow's runs. */
const longestShadowQueue = 64;

/** Numbers this close are the same: kernels sum in another order for other numbers of rows. */
const tolerance = 1e-5;

/** The version or alias for this request; undefined where there is no split. */
export function chooseVersion(
  { split, sticky }: Traffic,
  headers: HttpRequest['headers'],
): string | undefined {
  const shares = Object.entries(split ?? {});
  const total = shares.reduce((sum, [, share]) => sum + share, 0);
  if (total === 0) return undefined;
  const key = sticky === undefined ? undefined : headers[sticky.toLowerCase()];
  let left = total * (key === undefined ? Math.random() : spread(String(key)));
  return (shares.find(([, share]) => (left -= share) < 0) ?? shares.at(-1)!)[0];
}

/** From 0 to 1, the same for the same text. */
function spread(text: string): number {
  return Number.parseInt(hash('sha256', text).slice(0, 12), 16) / 2 ** 48;
}

/** The model, with every request that it answers put to another one, too, once its answer is there. */
export function withShadow(
  model: ServedModel,
  shadow: ServedModel & { readonly depth: number },
  onReport: (report: ShadowReport) => void,
): ServedModel {
  const report = (rest: Pick<ShadowReport, 'result' | 'difference'>): void => {
    onReport({ model: model.name, version: model.version, shadow: shadow.version, ...rest });
  };
  const repeat = async (inputs: Feeds, outputs: Feeds): Promise<void> => {
    if (shadow.depth >= longestShadowQueue) {
      report({ result: 'dropped' });
      return;
    }
    try {
      // Least urgent: what callers wait for goes first.
      report(compare(outputs, await shadow.predict(inputs, { priority: 10 })));
    } catch {
      report({ result: 'failed' });
    }
  };
  return Object.create(model, {
    predict: {
      value: async (...asked: Parameters<ServedModel['predict']>) => {
        const outputs = await model.predict(...asked);
        // The inputs may lie in the request, whose memory serves another once it is answered.
        void repeat(copyArrays(asked[0]), outputs);
        return outputs;
      },
    },
  }) as ServedModel;
}

function copyArrays(arrays: Feeds): Feeds {
  return Object.fromEntries(
    Object.entries(arrays).map(([name, array]) => [name, { ...array, data: array.data.slice() }]),
  );
}

function compare(expected: Feeds, got: Feeds): Pick<ShadowReport, 'result' | 'difference'> {
  let greatest = 0;
  let isOther = false;
  for (const [name, array] of Object.entries(expected)) {
    const other = got[name];
    if (other?.dtype !== array.dtype || other.dims.join() !== array.dims.join())
      return { result: 'different' };
    const difference = distance(array, other);
    if (Number.isFinite(difference)) greatest = Math.max(greatest, difference);
    else isOther = true;
  }
  return { result: isOther || greatest > tolerance ? 'different' : 'same', difference: greatest };
}

/** Of numbers; infinite where text differs, or one of two numbers is none. */
function distance(a: NdArray, b: NdArray): number {
  let greatest = 0;
  for (let index = 0; index < a.data.length; index++) {
    const [one, other] = [a.data[index]!, b.data[index]!];
    if (one === other) continue;
    if (typeof one === 'string') return Infinity;
    const difference = Math.abs(Number(one) - Number(other));
    if (Number.isNaN(difference)) {
      if (!Number.isNaN(one) || !Number.isNaN(other)) return Infinity;
    } else greatest = Math.max(greatest, difference);
  }
  return greatest;
}
