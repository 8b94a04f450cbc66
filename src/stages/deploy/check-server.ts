import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { readSignature } from '../../data/read-signature.js';
import { MaasError } from '../../errors.js';
import { ask, type Door } from './ask.js';
import { readGolden } from './golden.js';
import { type Replay, replayGolden, send } from './replay.js';

/** A server that runs somewhere else than in a child process of ours. */
export interface RunningServer extends Door {
  /** Name of its model. */
  readonly model: string;
}

export interface ExpectedRelease {
  readonly digest: string;
  /** Folder of the release; without one its golden rows are not replayed. */
  readonly path?: string | undefined;
}

/** Milliseconds between looks at a server that is not ready yet. */
const pause = 50;

/**
 * Waits until a server is ready with the release that it is to serve, and replays the release's golden rows against it.
 * @param seconds in which all of this must have happened.
 * @throws MaasError MAAS_VERIFY_FAILED telling what differs, or that it did not become ready.
 */
export async function checkServer(
  server: RunningServer,
  release: ExpectedRelease,
  seconds: number,
): Promise<Replay | undefined> {
  const timeout = AbortSignal.timeout(seconds * 1000);
  const signal = AbortSignal.any([server.signal, timeout]);
  try {
    await untilReady({ ...server, signal });
    const path = `/v2/models/${encodeURIComponent(server.model)}`;
    const { versions } = (await send({ ...server, signal }, path)) as { versions?: readonly string[] };
    if (!versions?.includes(release.digest)) {
      throw new MaasError(
        'MAAS_VERIFY_FAILED',
        `${server.url} serves ${versions?.join(', ') ?? 'nothing'} instead of ${release.digest}`,
      );
    }
    if (release.path === undefined) return undefined;
    const signature = await readSignature(join(release.path, 'signature.json'));
    const golden = await readGolden(release.path);
    return await replayGolden({ ...server, digest: release.digest, signal }, golden, signature);
  } catch (error) {
    server.signal.throwIfAborted();
    if (!timeout.aborted) throw error;
    throw new MaasError('MAAS_VERIFY_FAILED', `${server.url} was not ready after ${seconds} s`, {
      cause: error,
    });
  }
}

async function untilReady(server: RunningServer): Promise<void> {
  for (;;) {
    const answer = await ask(server, '/v2/health/ready').catch(() => undefined);
    if (answer?.status === 200) return;
    await wait(pause, undefined, { signal: server.signal });
  }
}
