import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ListrTask } from 'listr2';
import { asDiskError } from '../../errors.js';
import type { StageRun, TrainProgress } from '../../plugin/api.js';
import { readInstructionSet } from '../../runtime/cpu.js';
import type { Json } from '../../artifacts/index.js';
import { timeRatio } from './auto/candidate.js';
import type { SearchResult } from './auto/search.js';
import type { Compression } from './compress.js';
import type { CompressOptions } from './config.js';
import { roundFigures, type WrittenReport } from './report.js';
import { describeSaturated } from './saturation.js';

export function compressTasks(run: StageRun<CompressOptions>): ListrTask[] {
  const { out, inputs, options, project, registry, signal, result } = run;
  const fitting = { tell: (_: string): void => undefined };
  const steps = {
    // Loaded on demand: it brings protobuf along, which no other command should pay for.
    open: async () => {
      const [work, { openProjectSubject }] = await Promise.all([
        import('./compress.js'),
        import('./project-subject.js'),
      ]);
      const subject = await openProjectSubject(run, (progress) => {
        fitting.tell(describeFit(progress));
      });
      const place = { file: project.configFile };
      const job = {
        subject,
        options,
        passes: registry.passes,
        out: join(out, 'model.onnx'),
        signal,
        place,
        placeOf: project.placeOf,
      };
      return new work.Compression(job);
    },
    keep: async ({ text, metrics }: WrittenReport) => {
      Object.assign(result.metrics, metrics);
      await writeFile(join(out, 'report.json'), text);
      try {
        await copyFile(join(inputs.model!.path, 'signature.json'), join(out, 'signature.json'));
      } catch (error) {
        throw asDiskError(error, 'cannot write the model');
      }
    },
    work: run.work,
    fitting,
    result,
  };
  return compressionTasks(options, steps);
}

export interface CompressionSteps {
  readonly open: () => Promise<Compression>;
  /** What becomes of the report. */
  readonly keep: (report: WrittenReport) => Promise<void>;
  /** Told how far a training is; whose pass it is listens. */
  readonly fitting?: { tell: (text: string) => void };
  /** Folder for models that are tried. */
  readonly work: string;
  readonly result: Pick<StageRun['result'], 'measured' | 'notes'>;
}

/** Load, one pass after another, measure, check. */
export function compressionTasks(
  options: CompressOptions,
  { open, keep, work, fitting, result }: CompressionSteps,
): ListrTask[] {
  let compression: Compression;
  const searchTask = (): ListrTask => ({
    title: 'auto',
    task: async (_context, task) => {
      const started = performance.now();
      let trying = '';
      const tell = (text: string): void => {
        const seconds = Math.round((performance.now() - started) / 1000);
        task.output = `${text} (${seconds} s of ${options.auto!.budget})`;
      };
      if (fitting) {
        fitting.tell = (text) => {
          tell(`${trying}: ${text}`);
        };
      }
      const found = await compression.search(work, (name) => {
        trying = name;
        tell(name);
      });
      const { chosen, reason, untried } = found;
      result.notes.push(...describeUntried(untried, options.auto!.budget));
      result.measured['auto'] = describeFound(found);
      result.notes.push(`auto chose “${chosen.name}”: ${reason}`);
      task.title = `auto: ${chosen.name}, ${reason}`;
    },
  });
  const memoryTask = (): ListrTask => ({
    title: 'measure peak memory',
    task: async (_context, task) => {
      const { before, after } = await compression.weigh();
      result.measured['peakMemory'] = { before, after };
      task.title = `measure peak memory: ${(after / before).toFixed(2)} ×`;
    },
  });
  return [
    {
      title: 'load the model and its held-out rows',
      task: async () => {
        compression = await open();
      },
    },
    ...(options.auto ? [searchTask()] : []),
    ...options.passes.map((choice): ListrTask => ({
      title: choice.name,
      task: async (_context, task) => {
        if (fitting) fitting.tell = (text) => (task.output = text);
        const { changed, applied = [], skipped } = await compression.apply(choice);
        if (!changed) result.notes.push(`${choice.name} changed nothing`);
        task.title = `${choice.name}: ${applied.length} changed, ${skipped.length} left alone`;
      },
    })),
    {
      title: 'measure size and quality',
      task: async () => {
        await keep(await compression.measure());
        const saturated = await compression.findSaturated();
        if (saturated.length === 0) return;
        const where = describeSaturated(saturated);
        result.notes.push(`calibrated on other data than the test rows? They leave the ranges at ${where}`);
      },
    },
    {
      title: 'measure latency',
      task: async (_context, task) => {
        const latencies = await compression.time();
        result.measured['latency'] = latencies.map(({ batch, ...times }) => ({
          batch,
          ...roundFigures(times),
        }));
        const elsewhere = describeElsewhere(options.target, await readInstructionSet());
        if (elsewhere !== undefined) result.notes.push(elsewhere);
        const ratios = latencies.map(({ batch, ratio }) => `${ratio.toFixed(2)} × for ${batch}`);
        task.title = `measure latency: ${ratios.join(', ')}`;
      },
    },
    ...(options.gates.memory ? [memoryTask()] : []),
    {
      title: 'check the gates',
      task: async (_context, task) => {
        const verdicts = await compression.check();
        task.title = `check the gates: ${verdicts.map((verdict) => verdict.text).join('; ')}`;
      },
    },
  ];
}

/** What a figure of this machine is worth for another kind. */
function describeElsewhere(target: string | undefined, here: string | undefined): string | undefined {
  if (target === undefined || target === here) return undefined;
  return `times are those of this machine (${here ?? 'of a kind that is not known'}), not of ${target}`;
}

/** The recipes that were tried with their times, those on the front marked. */
function describeFound({ chosen, reason, tried, front }: SearchResult): Json {
  return {
    chosen: chosen.name,
    reason,
    tried: tried.map((one) => ({
      name: one.name,
      ...roundFigures({
        sizeRatio: one.sizeRatio,
        ...(one.latencies && { timeRatio: timeRatio(one.latencies) }),
      }),
      signalToNoise: numberOf(one.judgement.difference['signalToNoise']),
      front: front.includes(one),
      failed: one.verdicts.filter(({ passed }) => !passed).map(({ text }) => text),
    })),
  };
}

function describeUntried(untried: SearchResult['untried'], budget: number): string[] {
  const late = untried.filter(({ reason }) => reason === undefined).map(({ name }) => `“${name}”`);
  return [
    ...untried.flatMap(({ name, reason }) =>
      reason === undefined ? [] : [`auto left out “${name}”: ${reason}`],
    ),
    ...(late.length > 0
      ? [`auto had no time for ${late.join(', ')}: raise compress.auto.budget, now ${budget} s`]
      : []),
  ];
}

function numberOf(figure: number | undefined): number | null {
  return figure !== undefined && Number.isFinite(figure) ? figure : null;
}

function describeFit({ epoch, epochs, step, steps, loss }: TrainProgress): string {
  return `epoch ${epoch} of ${epochs}, step ${step} of ${steps}, loss ${loss.toPrecision(4)}`;
}
