import { performance } from 'node:perf_hooks';
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { openClient, type Client, type Exchange, type LoadRequest } from './client.js';
import { Latencies, type LatencySummary } from './latencies.js';

export interface LoadOptions {
  readonly origin: URL;
  /** Sent in turn. */
  readonly requests: readonly LoadRequest[];
  /** Seconds that are measured, after so many that are not. */
  readonly seconds: number;
  readonly warmUp: number;
  /** Milliseconds until an answer that does not come counts as failed. */
  readonly timeout: number;
  readonly signal: AbortSignal;
}

export interface LoadResult {
  readonly requests: number;
  readonly failed: number;
  /** What the first of them was told. */
  readonly firstFailure?: string;
  /** Answered with 200, a second. */
  readonly throughput: number;
  readonly latency: LatencySummary;
}

/**
 * A closed loop: so many callers, each of whom asks again as soon as it has its answer. Shows how much a server can take;
 * its latencies leave out what a caller who asked at a time of its own would have waited.
 */
export async function measureClosed(
  options: LoadOptions & { readonly concurrency: number },
): Promise<LoadResult> {
  const { concurrency, requests } = options;
  return withClient(options, concurrency, async (client, clock) => {
    const ask = async (caller: number): Promise<void> => {
      // Neighbours start at different requests, so that no moment has only one kind.
      for (let at = caller; clock.isRunning(performance.now()); at++) {
        const start = performance.now();
        clock.record(start, await client.exchange(requests[at % requests.length]!));
      }
    };
    await Promise.all(Array.from({ length: concurrency }, (_, caller) => ask(caller)));
  });
}

/**
 * An open loop: requests come at random times, so many a second on average (a Poisson process), whether or not the ones
 * before were answered, as those of independent callers do. Each latency counts from the time at which the request was due,
 * not from when it could be sent, so that a server that stalls is charged for all who would have waited: there is no
 * coordinated omission (G. Tene, "How NOT to Measure Latency").
 */
export async function measureOpen(
  options: LoadOptions & { readonly rate: number; readonly connections: number },
): Promise<LoadResult> {
  const { rate, connections, requests } = options;
  const random = xoroshiro128plus(1);
  return withClient(options, connections, async (client, clock) => {
    const pending = new Set<Promise<void>>();
    let due = performance.now();
    const nextDue = () => (due += (-Math.log(1 - uniformFloat64(random)) / rate) * 1000);
    // However late we are ourselves, all that was due is asked.
    for (let at = 0, start = nextDue(); clock.isRunning(start); at++, start = nextDue()) {
      await until(start, at);
      if (pending.size >= mostPending) {
        clock.record(start, { status: 0, problem: `${mostPending} requests were waiting already` });
        continue;
      }
      const exchange = client.exchange(requests[at % requests.length]!).then((answer) => {
        clock.record(start, answer);
        pending.delete(exchange);
      });
      pending.add(exchange);
    }
    await Promise.all(pending);
  });
}

/** More that wait at once than any server will come to: the rest fail, instead of filling our memory. */
const mostPending = 50_000;

/** Timers are a millisecond coarse; the rest of the way goes by turns of the event loop, which also let answers in. */
async function until(time: number, index: number): Promise<void> {
  const left = time - performance.now();
  if (left > 2) await wait(left - 2);
  // Who is late for every request must let answers in all the same.
  if (left <= 0 && index % 32 === 0) await turn();
  while (performance.now() < time) await turn();
}

interface Clock {
  /** Whether `time` lies before the end, and nobody has asked to stop. */
  isRunning(time: number): boolean;
  record(start: number, exchange: Exchange): void;
}

async function withClient(
  { origin, seconds, warmUp, timeout, signal }: LoadOptions,
  connections: number,
  drive: (client: Client, clock: Clock) => Promise<void>,
): Promise<LoadResult> {
  const client = openClient(origin, { connections, timeout });
  const latencies = new Latencies();
  let [answered, failed, last] = [0, 0, 0];
  let firstFailure: string | undefined;
  const begin = performance.now() + warmUp * 1000;
  const end = begin + seconds * 1000;
  const abort = (): void => void client.close();
  signal.addEventListener('abort', abort, { once: true });
  try {
    await drive(client, {
      isRunning: (time) => time < end && !signal.aborted,
      record(start, { status, problem }) {
        const now = performance.now();
        // What was due in the time counts, however late its answer comes.
        if (start < begin || start >= end) return;
        last = now;
        if (status === 200) {
          answered++;
          latencies.add(now - start);
        } else {
          failed++;
          firstFailure ??= status === 0 ? problem : `${status} ${problem}`;
        }
      },
    });
  } finally {
    signal.removeEventListener('abort', abort);
    await client.close();
  }
  signal.throwIfAborted();
  return {
    requests: answered + failed,
    failed,
    ...(firstFailure !== undefined && { firstFailure }),
    throughput: (answered * 1000) / (Math.max(last, end) - begin),
    latency: latencies.summarize(),
  };
}
