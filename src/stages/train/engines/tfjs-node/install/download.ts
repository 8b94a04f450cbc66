import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MaasError } from '../../../../../errors.js';

export interface Download {
  readonly url: string;
  readonly sha256: string;
  readonly to: string;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number, total: number | undefined) => void;
}

/** Without a byte for so long, a connection counts as lost. In milliseconds. */
const patience = 30_000;

/**
 * Downloads a file. What an earlier attempt got is not fetched again, and a file that is there whole not at all.
 * @throws MaasError MAAS_DOWNLOAD when the host cannot be reached, gives up midway, or gives another file.
 */
export async function download({ url, sha256, to, signal, onProgress }: Download): Promise<void> {
  if (await isWhole(to, sha256)) return;
  await mkdir(dirname(to), { recursive: true });
  const part = `${to}.part`;
  try {
    await fetchRest(url, part, signal, onProgress);
  } catch (error) {
    signal.throwIfAborted();
    throw new MaasError('MAAS_DOWNLOAD', `cannot download ${url}: ${reasonOf(error)}`, { cause: error });
  }
  if (!(await isWhole(part, sha256))) {
    await rm(part, { force: true });
    throw new MaasError('MAAS_DOWNLOAD', `${url} is not the file it should be: its sha256 is not ${sha256}`, {
      hint: 'Look at what stands between this machine and the index: a proxy, a mirror.',
    });
  }
  await rename(part, to);
}

async function fetchRest(
  url: string,
  part: string,
  signal: AbortSignal,
  onProgress: Download['onProgress'],
): Promise<void> {
  const had = (await stat(part).catch(() => undefined))?.size ?? 0;
  const stalled = new AbortController();
  const timer = setTimeout(() => {
    stalled.abort(new Error('no answer'));
  }, patience);
  try {
    const response = await fetch(url, {
      headers: had > 0 ? { range: `bytes=${had}-` } : {},
      signal: AbortSignal.any([signal, stalled.signal]),
    });
    // All of it was there already.
    if (response.status === 416) return;
    if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`);
    const resumed = response.status === 206;
    const length = Number(response.headers.get('content-length') ?? NaN);
    const total = Number.isNaN(length) ? undefined : length + (resumed ? had : 0);
    const file = await open(part, resumed ? 'a' : 'w');
    try {
      let done = resumed ? had : 0;
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        timer.refresh();
        await file.write(chunk);
        onProgress((done += chunk.length), total);
      }
      if (total !== undefined && done < total) throw new Error(`it ended after ${done} of ${total} bytes`);
    } finally {
      await file.close();
    }
  } finally {
    clearTimeout(timer);
  }
}

/** True when the file is there and has this digest. */
export async function isWhole(path: string, sha256: string): Promise<boolean> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
  return hash.digest('hex') === sha256;
}

/** Node's fetch hides the reason (no such host, refused) in the cause. */
export function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? cause.message : message;
}
