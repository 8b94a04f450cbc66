import type { ServedModel } from '../../plugin/api.js';
import { openSession } from '../../runtime/session.js';
import { Batcher } from './batcher.js';
import { checkInputs } from './check-inputs.js';
import { readRelease } from './release.js';
import { RequestError } from './request-error.js';
import { warmUp } from './warm-up.js';

export interface LoadOptions {
  readonly threads: number;
  /** In rows. */
  readonly maxBatchSize: number;
  /** In requests. */
  readonly maxQueue: number;
  /** Told of every run: rows and seconds. */
  readonly onRun?: (model: Pick<ServedModel, 'name' | 'version'>, rows: number, seconds: number) => void;
}

/** A release in memory, warmed up and ready for requests. */
export interface LoadedModel extends ServedModel {
  readonly projectName: string;
  /** True when requests that wait together share runs. */
  readonly batching: boolean;
  /** Why each row runs by itself, when it does. */
  readonly unbatched: string | undefined;
  /** Requests that wait for a run. */
  readonly depth: number;
  /** Ends the run under way, refuses what waits, and gives the memory back. */
  close(): Promise<void>;
}

/**
 * Loads a release folder: checks every digest, opens the session from the bytes that were checked, runs the golden rows.
 * @throws MaasError MAAS_RELEASE_MISSING, MAAS_ARTIFACT_CORRUPT, MAAS_MODEL_INVALID, MAAS_VERIFY_FAILED
 */
export async function loadModel(path: string, options: LoadOptions): Promise<LoadedModel> {
  const { digest, manifest, model, signature, golden } = await readRelease(path);
  const session = await openSession(model, { threads: options.threads });
  try {
    const { rows, reason } = await warmUp(session, signature, golden);
    const identity = { name: signature.name, version: digest };
    const fetches = signature.outputs.map((output) => output.name);
    const batcher = new Batcher({
      run: (feeds) => session.run(feeds, fetches).catch(refuseRun),
      rows,
      maxBatchSize: options.maxBatchSize,
      maxQueue: options.maxQueue,
      onRun: (count, seconds) => options.onRun?.(identity, count, seconds),
    });
    return {
      ...identity,
      signature,
      projectName: manifest.name,
      batching: rows === 'share',
      unbatched: reason,
      get depth() {
        return batcher.depth;
      },
      async predict(inputs) {
        return batcher.submit(checkInputs(signature, inputs));
      },
      async close() {
        await batcher.close();
        await session.close();
      },
    };
  } catch (error) {
    await session.close();
    throw error;
  }
}

/** Inputs of the right shape that the model still cannot take, such as an index outside of its table. */
function refuseRun(error: unknown): never {
  const reason = error instanceof Error ? error.message : String(error);
  throw new RequestError(500, `the model cannot run on this input: ${reason}`, { cause: error });
}
