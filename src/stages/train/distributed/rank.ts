// One of the processes that train together; mpirun starts it with the path of a RankJob.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { MaasError } from '../../../errors.js';
import { saveModel } from '../../../ir/onnx/save.js';
import { createRegistry } from '../../../plugin/registry.js';
import { joinRanks, type Ranks } from '../../../runtime/mpi/join-ranks.js';
import { loadMpi } from '../../../runtime/mpi/library.js';
import { onnxEngine } from '../engines/onnx/index.js';
import { mpiOf } from './config.js';
import type { RankError, RankJob, RankOutcome } from './job.js';
import { trainRank } from './train-rank.js';

const job = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as RankJob;
try {
  const ranks = joinRanks(await loadMpi(mpiOf(job.options.distributed!)));
  await trainAs(ranks);
  ranks.close();
} catch (error) {
  report(error);
  console.error(error);
  // mpirun ends the others when one ends with an error.
  process.exit(1);
}

async function trainAs(ranks: Ranks): Promise<void> {
  if (ranks.size !== job.size) {
    throw new MaasError('MAAS_RANKS_FAILED', `${job.size} ranks were started, and MPI has ${ranks.size}`, {
      hint: 'mpirun and libmpi are of different MPIs: leave one of them.',
    });
  }
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT', 'SIGUSR1'] as const) {
    process.on(name, () => {
      stop.abort(new MaasError('MAAS_INTERRUPTED', `stopped by ${name}`));
    });
  }
  const { model, history, notes } = await trainRank(
    ranks,
    {
      project: job.project,
      options: job.options,
      registry: createRegistry([
        { plugin: 'maas-cli', registration: { apiVersion: 1, engines: [onnxEngine] } },
      ]),
      work: job.work,
      signal: stop.signal,
      data: job.data,
    },
    (progress) => {
      appendFileSync(job.files.progress, `${JSON.stringify(progress)}\n`);
    },
  );
  if (ranks.rank > 0) return;
  await saveModel(model, job.files.model);
  writeFileSync(job.files.outcome, JSON.stringify({ history, notes } satisfies RankOutcome));
}

/** The first rank that fails says why: what the others then meet follows from it. */
function report(error: unknown): void {
  const isOurs = error instanceof MaasError;
  const said: RankError = {
    message: error instanceof Error ? error.message : String(error),
    ...(isOurs && { code: error.code, hint: error.hint }),
  };
  try {
    writeFileSync(job.files.error, JSON.stringify(said), { flag: 'wx' });
  } catch {
    // Another rank was first.
  }
}
