import { MaasError } from '../../../errors.js';
import type { LoadPoint, LoadReport } from './index.js';

export interface LoadLimits {
  /** Milliseconds. */
  readonly maxP99?: number | undefined;
  /** Answers a second. */
  readonly minThroughput?: number | undefined;
}

/** @throws MaasError MAAS_GATE_FAILED naming each measurement with failed requests or beyond a limit. */
export function judgeLoad(
  { results }: LoadReport,
  limits: LoadLimits,
  beforeThrow: (text: string) => void = () => undefined,
): void {
  const faults = results.flatMap((point) =>
    findFaults(point, limits).map((fault) => `${nameOf(point)}: ${fault}`),
  );
  if (faults.length === 0) return;
  beforeThrow('\n');
  throw new MaasError('MAAS_GATE_FAILED', faults.join('\n'), {
    hint: 'Give the server more workers or a faster model, or loosen the limit.',
    details: { faults },
  });
}

function findFaults(
  { requests, failed, firstFailure, throughput, latency }: LoadPoint,
  { maxP99 = Infinity, minThroughput = 0 }: LoadLimits,
): string[] {
  const faults: string[] = [];
  if (requests === 0) faults.push('no request was answered in time');
  if (failed > 0) faults.push(`${failed} of ${requests} requests failed, the first with: ${firstFailure}`);
  if (latency.p99 > maxP99) faults.push(`p99 is ${latency.p99.toFixed(2)} ms, the limit ${maxP99} ms`);
  if (throughput < minThroughput) {
    faults.push(`${throughput.toFixed(1)} answers a second, the limit is ${minThroughput}`);
  }
  return faults;
}

const nameOf = ({ concurrency, rate }: LoadPoint): string =>
  rate === undefined ? `${concurrency} callers` : `${rate} requests a second`;
