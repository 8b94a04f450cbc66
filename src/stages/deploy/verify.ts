import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import type { Manifest } from '../../artifacts/index.js';
import { readSignature } from '../../data/read-signature.js';
import { MaasError } from '../../errors.js';
import { describeMisfit, readInstructionSet } from '../../runtime/cpu.js';
import type { Release } from '../../plugin/api.js';
import { type Candidate, withCandidate } from './candidate.js';
import { readGolden } from './golden.js';
import { type Replay, replayGolden, send } from './replay.js';

export interface VerifyRun {
  /** Seconds in which the candidate must start, answer its golden rows and stop. */
  readonly timeout: number;
  /** Latency budget for the median answer to one row, in milliseconds. */
  readonly maxLatencyMs?: number | undefined;
  readonly signal: AbortSignal;
  /** Further arguments for `maas serve`. */
  readonly args?: readonly string[];
  /** Script to start instead of this CLI. */
  readonly script?: string;
}

export interface Verification extends Replay {
  /** From the start of the process to its first "ready", in milliseconds. */
  readonly readyMs: number;
  /** What to expect of the model on this processor, which it was not compressed for. */
  readonly misfit?: string;
}

/** Milliseconds between looks at a candidate that is not ready yet. */
const pause = 20;

/**
 * Starts `release` as it will be served, on a spare port of this machine, waits until it is ready with the release's own
 * digest, replays its golden rows, and has it stop. No child process is left behind, whatever happens.
 * @throws MaasError MAAS_VERIFY_FAILED telling what differs, what was too slow, or what the candidate wrote to stderr.
 * @throws the signal's reason when it is aborted.
 */
export async function verifyRelease(
  release: Release,
  run: VerifyRun,
  note: (text: string) => void = () => undefined,
): Promise<Verification> {
  const limit = new AbortController();
  const giveUp = (): void => {
    limit.abort();
  };
  const timer = setTimeout(giveUp, run.timeout * 1000);
  run.signal.addEventListener('abort', giveUp, { once: true });
  let doing = 'to start';
  const step = (text: string): void => {
    doing = text;
    note(`waiting for the candidate ${text}`);
  };
  try {
    run.signal.throwIfAborted();
    return await withCandidate(release, { ...run, signal: limit.signal }, async (candidate) => {
      const started = candidate.startedAt;
      step('to be ready');
      await untilReady(candidate, release, limit.signal);
      const readyMs = performance.now() - started;
      const golden = await readGolden(release.path);
      const signature = await readSignature(join(release.path, 'signature.json'));
      step(`to answer ${golden.rows.length} golden rows`);
      const replay = await Promise.race([
        replayGolden({ ...candidate, signal: limit.signal }, golden, signature),
        candidate.ended,
      ]);
      refuseSlow(replay, run.maxLatencyMs);
      step('to stop');
      await candidate.stop();
      const misfit = await readMisfit(release);
      return { ...replay, readyMs, ...(misfit !== undefined && { misfit }) };
    });
  } catch (error) {
    run.signal.throwIfAborted();
    if (limit.signal.aborted) {
      throw new MaasError(
        'MAAS_VERIFY_FAILED',
        `gave up after ${run.timeout} s, waiting for the candidate ${doing}`,
        {
          hint: 'The previous release stays in place. Raise deploy.verify.timeout if the model needs longer.',
          cause: error,
        },
      );
    }
    if (error instanceof MaasError) throw error;
    throw new MaasError('MAAS_VERIFY_FAILED', `the candidate cannot be reached: ${reason(error)}`, {
      cause: error,
    });
  } finally {
    clearTimeout(timer);
    run.signal.removeEventListener('abort', giveUp);
  }
}

async function readMisfit({ path }: Release): Promise<string | undefined> {
  const text = await readFile(join(path, 'manifest.json'), 'utf8');
  const { metrics } = JSON.parse(text) as Pick<Manifest, 'metrics'>;
  return describeMisfit(metrics['target'], await readInstructionSet());
}

async function untilReady(candidate: Candidate, release: Release, signal: AbortSignal): Promise<void> {
  refuseOther(release, candidate.digest);
  const ready = async (): Promise<void> => {
    const url = new URL('/v2/health/ready', candidate.url);
    while ((await fetch(url, { signal })).status !== 200) await wait(pause, undefined, { signal });
  };
  await Promise.race([ready(), candidate.ended]);
  const path = `/v2/models/${encodeURIComponent(candidate.model)}`;
  const { versions } = (await send({ url: candidate.url, signal }, path)) as { versions?: readonly string[] };
  refuseOther(release, versions?.join(', '));
}

function refuseSlow({ medianMs, rows }: Replay, budget = Infinity): void {
  if (medianMs <= budget) return;
  throw new MaasError(
    'MAAS_VERIFY_FAILED',
    `the candidate takes ${medianMs.toFixed(2)} ms for one row (median of ${rows}), its budget is ${budget} ms`,
    {
      details: { medianMs, maxLatencyMs: budget },
      hint: 'The previous release stays in place. Compress the model further, or raise deploy.verify.maxLatencyMs.',
    },
  );
}

function refuseOther(release: Release, served: string | undefined): void {
  if (served === release.digest) return;
  throw new MaasError(
    'MAAS_VERIFY_FAILED',
    `the candidate serves ${served ?? 'nothing'} instead of ${release.digest}`,
  );
}

function reason(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? `${message} (${cause.message})` : message;
}
