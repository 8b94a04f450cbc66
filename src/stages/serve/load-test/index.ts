import { MaasError } from '../../../errors.js';
import { openClient, type LoadRequest } from './client.js';
import { describeModel } from './describe-model.js';
import { makeRequests, type RequestOptions } from './make-requests.js';
import { measureClosed, measureOpen, type LoadResult } from './measure.js';
import { readRequests } from './read-requests.js';

export interface LoadTest extends RequestOptions {
  /** Of a server, or of a model on it. */
  readonly url: URL;
  readonly model?: string | undefined;
  /** Bodies of one's own, a JSON one a line, instead of made-up tensors; posted to the path of `url`. */
  readonly requestsFile?: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly concurrency: readonly number[];
  /** Requests a second, for open loops. */
  readonly rates: readonly number[];
  /** Connections of open loops. */
  readonly connections: number;
  /** Seconds of each measurement, and before it. */
  readonly seconds: number;
  readonly warmUp: number;
  /** Milliseconds. */
  readonly timeout: number;
  readonly signal: AbortSignal;
}

export interface LoadPoint extends LoadResult {
  /** Callers of a closed loop, or requests a second of an open one. */
  readonly concurrency?: number;
  readonly rate?: number;
}

export interface LoadReport {
  readonly model: string | null;
  readonly results: readonly LoadPoint[];
}

/**
 * Measures a server: closed loops first, then open ones, in the order given.
 * @throws MaasError MAAS_SERVER when it cannot be reached or refuses the first request.
 */
export async function testLoad(test: LoadTest, note: (text: string) => void): Promise<LoadReport> {
  const { model, requests } = await findRequests(test);
  const options = { ...test, origin: new URL(test.url.origin), requests };
  await tryOut(options, requests[0]!);
  const results: LoadPoint[] = [];
  for (const concurrency of test.concurrency) {
    note(`${concurrency} ${concurrency === 1 ? 'caller' : 'callers'}`);
    results.push({ concurrency, ...(await measureClosed({ ...options, concurrency })) });
  }
  for (const rate of test.rates) {
    note(`${rate} requests a second`);
    results.push({ rate, ...(await measureOpen({ ...options, rate })) });
  }
  return { model, results };
}

async function findRequests(test: LoadTest): Promise<{ model: string | null; requests: LoadRequest[] }> {
  const { url, requestsFile, headers } = test;
  const withHeaders = (requests: LoadRequest[]) =>
    requests.map((request) => ({ ...request, headers: { ...request.headers, ...headers } }));
  if (requestsFile !== undefined) {
    const path = url.pathname + url.search;
    return { model: null, requests: withHeaders(await readRequests(requestsFile, path)) };
  }
  const model = await describeModel(test);
  return { model: model.name, requests: withHeaders(makeRequests(model, test)) };
}

/** One request before all others: what is wrong with every one of them is told once, and in full. */
async function tryOut({ origin, timeout }: { origin: URL; timeout: number }, request: LoadRequest) {
  const client = openClient(origin, { connections: 1, timeout });
  try {
    const { status, problem } = await client.exchange(request);
    if (status === 200) return;
    throw new MaasError(
      'MAAS_SERVER',
      `${origin.origin}${request.path} ${status === 0 ? `cannot be asked: ${problem}` : `answers ${status}: ${problem}`}`,
      {
        hint: 'Made-up values may not suit the model: give --shape INPUT:1,128, or bodies of your own with --requests FILE.',
      },
    );
  } finally {
    await client.close();
  }
}
