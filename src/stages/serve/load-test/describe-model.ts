import { MaasError } from '../../../errors.js';

/** An input as the Open Inference Protocol describes it; −1 stands for any size. */
export interface InputDescription {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
}

export interface ModelDescription {
  readonly name: string;
  /** Path of the model on its server, without a slash at its end: `/v2/models/iris`. */
  readonly path: string;
  readonly inputs: readonly InputDescription[];
}

export interface Question {
  readonly url: URL;
  readonly model?: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

const modelPath = /^(.*\/v2\/models\/[^/]+(?:\/versions\/[^/]+)?)(?:\/infer)?\/?$/;

/**
 * Asks a server of the Open Inference Protocol what a model takes.
 * `url` is that of the server, or of the model on it (`http://HOST:PORT/v2/models/NAME`); `model` names one of several.
 * @throws MaasError MAAS_USAGE when there is no such model, or the choice is not clear; MAAS_SERVER when it cannot be asked.
 */
export async function describeModel({ url, model, headers, signal }: Question): Promise<ModelDescription> {
  const found = modelPath.exec(url.pathname);
  if (found && model !== undefined) {
    throw new MaasError('MAAS_USAGE', 'the address names a model already, besides --model');
  }
  const init = { headers: { 'content-type': 'application/json', ...headers }, signal };
  const base = url.pathname.replace(/\/$/, '');
  const path =
    found?.[1] ?? `${base}/v2/models/${encodeURIComponent(model ?? (await onlyModel(url, base, init)))}`;
  const metadata = (await ask(new URL(path, url), init)) as Partial<ModelDescription>;
  const { inputs } = metadata;
  if (!Array.isArray(inputs) || inputs.length === 0 || !inputs.every(isInput)) {
    throw new MaasError(
      'MAAS_SERVER',
      `${new URL(path, url).href} does not say what inputs the model takes`,
      {
        hint: 'Write the requests yourself: --requests FILE, one JSON body a line.',
      },
    );
  }
  return { name: metadata.name ?? decodeURIComponent(path.slice(path.lastIndexOf('/') + 1)), path, inputs };
}

async function onlyModel(url: URL, base: string, init: RequestInit): Promise<string> {
  const index = new URL(`${base}/v2/repository/index`, url);
  const listed = await ask(index, { ...init, method: 'POST', body: '{}' });
  const models = Array.isArray(listed) ? (listed as { name: string; state?: string }[]) : [];
  const names = [
    ...new Set(models.filter(({ state = 'READY' }) => state === 'READY').map(({ name }) => name)),
  ];
  if (names.length === 1) return names[0]!;
  throw new MaasError('MAAS_USAGE', `the server at ${url.origin} has ${names.length || 'no'} models ready`, {
    hint:
      names.length === 0
        ? 'Look at its log, or at /v2/health/ready.'
        : `Choose: --model ${names.join(' | ')}`,
  });
}

async function ask(url: URL, init: RequestInit): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    const { cause, message } = error as Error;
    const reason = cause instanceof Error && cause.message !== '' ? cause.message : message;
    throw new MaasError('MAAS_SERVER', `cannot reach ${url.href}: ${reason}`, { cause: error });
  }
  const text = await response.text();
  if (response.status !== 200) {
    throw new MaasError('MAAS_SERVER', `${url.href} answers ${response.status}: ${text.slice(0, 300)}`);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new MaasError('MAAS_SERVER', `${url.href} does not answer with JSON: ${text.slice(0, 100)}`, {
      cause: error,
    });
  }
}

function isInput(value: unknown): value is InputDescription {
  const { name, datatype, shape } = value as Partial<InputDescription>;
  return (
    typeof name === 'string' &&
    typeof datatype === 'string' &&
    Array.isArray(shape) &&
    shape.every((size) => Number.isInteger(Number(size)))
  );
}
