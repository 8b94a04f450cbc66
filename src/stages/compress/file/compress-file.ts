import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ListrTask } from 'listr2';
import type { Json } from '../../../artifacts/index.js';
import { asDiskError, MaasError } from '../../../errors.js';
import type { Registry } from '../../../plugin/api.js';
import { Compression } from '../compress.js';
import type { FileOptions } from '../config.js';
import type { PassRecord, WrittenReport } from '../report.js';
import { compressionTasks } from '../tasks.js';
import { openFileSubject } from './file-subject.js';

export interface FileOrder {
  /** The ONNX file. */
  readonly model: string;
  /** Inputs to calibrate with and to judge by; see `readSamples`. */
  readonly calibration: string | undefined;
  /** The file to write. */
  readonly out: string;
  readonly options: FileOptions;
  readonly registry: Registry;
  readonly signal: AbortSignal;
}

export interface FileResult {
  readonly metrics: Record<string, Json>;
  readonly measured: Record<string, Json>;
  readonly notes: string[];
  /** What each pass did, and what it left alone. */
  readonly passes: readonly PassRecord[];
}

/**
 * Compresses a model that belongs to no project. `run` is given the tasks; the file is written, whole, when all of them
 * went well.
 * @throws MaasError MAAS_GATE_FAILED, MAAS_MODEL_INVALID, MAAS_DATA_*, MAAS_DISK.
 */
export async function compressFile(
  order: FileOrder,
  run: (tasks: readonly ListrTask[]) => Promise<void>,
): Promise<FileResult> {
  const { model, calibration, options, registry, signal, out } = order;
  const subject = await openFileSubject(model, calibration, options);
  const folder = await makeFolder(out);
  const made = join(folder, basename(out));
  try {
    const job = { subject, options, passes: registry.passes, out: made, signal };
    const compression = new Compression(job);
    const result: FileResult = {
      metrics: {},
      measured: {},
      notes: [...subject.notes],
      passes: compression.records,
    };
    const steps = {
      open: () => Promise.resolve(compression),
      work: folder,
      keep: ({ metrics }: WrittenReport) => Promise.resolve(void Object.assign(result.metrics, metrics)),
      result,
    };
    await run(compressionTasks(job.options, steps));
    // Its external data first: a file is of use only with it.
    for (const file of [`${basename(out)}.data`, basename(out)]) {
      if (existsSync(join(folder, file))) await rename(join(folder, file), join(dirname(out), file));
    }
    return result;
  } catch (error) {
    throw asDiskError(error, `cannot write ${out}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** On the same disk as the file that will come out of it. */
async function makeFolder(out: string): Promise<string> {
  try {
    return await mkdtemp(join(dirname(out), '.maas-'));
  } catch (cause) {
    throw new MaasError('MAAS_DISK', `cannot write ${out}: ${(cause as Error).message}`, {
      hint: 'Check that the folder is there and may be written to.',
      cause,
    });
  }
}
