import { mkdir, mkdtemp, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { placeIn } from '../../../config/index.js';
import { MaasError } from '../../../errors.js';
import { loadModel, loadWeights } from '../../../ir/onnx/load.js';
import type { Project, TrainOrder, TrainOutcome, TrainProgress } from '../../../plugin/api.js';
import type { TrainOptions } from '../config.js';
import { followLines } from '../follow-lines.js';
import { readTail, runProgram, type Ending } from '../program.js';
import { sizeOf, type Distributed } from './config.js';
import type { RankError, RankFiles, RankJob, RankOutcome } from './job.js';
import { hostsOf, reachable, scriptOf } from './hosts.js';
import { checkLauncher, launchLine, quote } from './launchers.js';

/** Lines of the ranks' output that an error shows. */
const shown = 12;

/** Seconds that ranks have to write their checkpoint when they are stopped. */
const graceSeconds = 10;

/**
 * Trains on several processes, and starts them again from rank 0's checkpoint when one of them, or a host, is lost: on the
 * hosts that are left.
 * @throws MaasError MAAS_ENGINE_MISSING without Open MPI, MAAS_RANKS_FAILED when ranks are lost more often than they may,
 * MAAS_INTERRUPTED when the signal stops them, and what the engine throws.
 */
export async function trainTogether(
  order: TrainOrder,
  options: TrainOptions,
  project: Project,
): Promise<TrainOutcome> {
  const distributed = options.distributed!;
  const version = await checkLauncher(distributed, placeIn(project, ['train', 'distributed']));
  // mpirun would say it in its own way, and be asked again.
  await hostsOf(distributed, project);
  const folder = join(order.work, 'ranks');
  await mkdir(folder, { recursive: true });
  const log = join(folder, 'ranks.log');
  const notes: string[] = [];
  let { hosts } = distributed;
  let size = sizeOf(distributed);
  for (let attempt = 0; ; attempt++) {
    // Of each attempt its own: ranks of the one before may still be about to end, on hosts that were cut off.
    const own = await mkdtemp(join(folder, 'attempt-'));
    const files = filesIn(own);
    await writeFile(files.progress, '');
    const job: RankJob = {
      project: plain(project),
      options,
      work: order.work,
      size,
      data: order.dataset.digest,
      files,
    };
    await writeFile(join(own, 'job.json'), JSON.stringify(job));
    const { size: before } = await stat(log).catch(() => ({ size: 0 }));
    const line = launchLine(distributed, { hosts, size }, [
      process.execPath,
      scriptOf('rank'),
      join(own, 'job.json'),
    ]);
    const ending = await followRanks(quote(line), { order, distributed, project, files, log });
    if (ending.cause === 'exit' && ending.code === 0) {
      const outcome = JSON.parse(await readFile(files.outcome, 'utf8')) as RankOutcome;
      const model = await loadWeights(await loadModel(files.model));
      return { ...outcome, model, notes: [...notes, ...(outcome.notes ?? [])] };
    }
    const error = await readError(files.error);
    // What a rank says itself would only come again; but for what is no fault of the training: a launcher that was killed
    // stops its ranks.
    if (error && !passing.has(error.code)) throw restore(error, log);
    if (ending.cause === 'stopped') {
      throw new MaasError(
        'MAAS_INTERRUPTED',
        'training on several processes was stopped; its checkpoint is kept',
      );
    }
    const what = describe(ending, distributed);
    if (attempt >= distributed.restarts) {
      const tail = await readTail(log, before, shown);
      throw new MaasError(
        'MAAS_RANKS_FAILED',
        `${what}${attempt > 0 ? `, after ${attempt} restarts` : ''}. The last lines of the ranks:\n${tail.map((text) => `  ${text}`).join('\n')}`,
        { hint: `All that they printed is in ${log}; ${version}.`, details: { log } },
      );
    }
    if (hosts) {
      const left = await reachable(hosts, distributed, { root: project.root, signal: order.signal });
      if (left.length > 0 && left.length < hosts.length) {
        notes.push(`lost ${hosts.filter((host) => !left.includes(host)).join(', ')}`);
        size = Math.min(size, sizeOf({ hosts: left }));
        hosts = left;
      }
    }
    notes.push(`${what}: went on from the checkpoint with ${size} ranks`);
  }
}

/** Errors of ranks that a new start may mend. */
const passing: ReadonlySet<RankError['code']> = new Set(['MAAS_RUNTIME', 'MAAS_INTERRUPTED']);

interface Following {
  readonly order: TrainOrder;
  readonly distributed: Distributed;
  readonly project: Project;
  readonly files: RankFiles;
  readonly log: string;
}

async function followRanks(
  command: string,
  { order, distributed, project, files, log }: Following,
): Promise<Ending> {
  const lines = followLines(files.progress);
  const read = async () => {
    for (const line of await lines()) order.onProgress(JSON.parse(line) as TrainProgress);
  };
  const ending = await runProgram({
    command,
    cwd: project.root,
    env: {},
    log,
    graceSeconds,
    silenceSeconds: distributed.silenceSeconds,
    alive: [files.progress],
    signal: order.signal,
    onLook: read,
  });
  await read();
  return ending;
}

function describe({ cause, code }: Ending, { silenceSeconds }: Distributed): string {
  if (cause === 'silent') return `the ranks made no progress for ${silenceSeconds} s`;
  return code > 128 ? `a rank was lost (signal ${code - 128})` : `the launcher ended with exit code ${code}`;
}

/** What a rank said before it ended, if it could. */
async function readError(path: string): Promise<RankError | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as RankError;
  } catch {
    return undefined;
  }
}

function restore({ code, message, hint }: RankError, log: string): MaasError {
  if (code !== undefined) return new MaasError(code, message, { ...(hint !== undefined && { hint }) });
  return new MaasError('MAAS_RANKS_FAILED', `a rank failed: ${message}`, {
    hint: `All that the ranks printed is in ${log}.`,
  });
}

function filesIn(folder: string): RankFiles {
  return {
    progress: join(folder, 'progress.jsonl'),
    model: join(folder, 'model.onnx'),
    outcome: join(folder, 'outcome.json'),
    error: join(folder, 'error.json'),
  };
}

function plain({ name, seed, root, configFile, config }: Project): RankJob['project'] {
  return { name, seed, root, configFile, config };
}
