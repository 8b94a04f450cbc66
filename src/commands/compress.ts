import { dirname, extname, join, resolve, basename } from 'node:path';
import { Flags } from '@oclif/core';
import { readSection } from '../config/index.js';
import { MaasError } from '../errors.js';
import type { Registry } from '../plugin/api.js';

import { loadRegistry } from '../plugin/load-registry.js';
import type { FileOptions } from '../stages/compress/index.js';
import { instructionSets } from '../stages/compress/targets.js';
import { layersTable } from '../ui/layers-table.js';
import { runTasks } from '../ui/run-tasks.js';
import { summarize } from '../ui/summary.js';
import { passTable } from '../ui/tables.js';
import type { CommandResult } from './cli/base-command.js';
import { forceFlag, projectFlags } from './cli/project-command.js';
import { StageCommand } from './cli/stage-command.js';

export default class Compress extends StageCommand<typeof Compress> {
  static override summary = 'Make the trained model, or any ONNX file, smaller, and check what that cost.';
  static override description =
    'Runs the passes of the config on the trained model, measures size, latency and accuracy against it, and ends with exit code 3 when a gate fails: the compressed model of before then stays. With --model it does so with a file, and needs no project.';
  static override examples = [
    { description: 'Compress the trained model', command: '<%= config.bin %> compress' },
    {
      description: 'Read the figures in a script',
      command: '<%= config.bin %> compress --json | jq .metrics',
    },
    { description: 'See what would become of each layer', command: '<%= config.bin %> compress --explain' },
    {
      description: 'Compress an ONNX file, with inputs to calibrate on',
      command: '<%= config.bin %> compress --model bert.onnx --calibration inputs.npz',
    },
  ];
  static override flags = {
    ...projectFlags,
    ...forceFlag,
    model: Flags.string({
      summary: 'Compress this ONNX file instead of a trained model.',
      helpValue: 'FILE',
    }),
    calibration: Flags.string({
      summary:
        'Inputs for --model, half to calibrate on, half to judge by: .npz, .npy, .csv, or a folder of .npz files or ONNX test sets.',
      helpValue: 'DATA',
      dependsOn: ['model'],
    }),
    out: Flags.string({
      summary: 'The file to write. Default: FILE.compressed.onnx beside --model.',
      helpValue: 'FILE',
      dependsOn: ['model'],
    }),
    target: Flags.option({
      summary: 'Processors to make the model for, instead of those of this machine.',
      options: instructionSets,
    })(),
    explain: Flags.boolean({
      summary:
        'Show each layer: its size, its time, what it costs to change it alone, and what the passes do with it.',
      exclusive: ['force', 'out'],
    }),
  };

  protected override readonly stage = 'compress';

  protected override async execute(): Promise<CommandResult | undefined> {
    const flags = this.flags as unknown as FileFlags;
    if (flags.target !== undefined) {
      this.flags.set = flags.set = [...(flags.set ?? []), `compress.target=${flags.target}`];
    }
    if (flags.explain) return this.explain(flags);
    return flags.model === undefined ? super.execute() : this.compressFile(flags.model, flags);
  }

  private async explain({ model, calibration, set }: FileFlags): Promise<CommandResult> {
    const { explainFile, explainProject } = await import('../stages/compress/explain/tasks.js');
    const { tasks, found } =
      model === undefined
        ? explainProject(await this.open())
        : explainFile(
            resolve(model),
            calibration === undefined ? undefined : resolve(calibration),
            ...(await this.readFileOptions(set)),
          );
    await runTasks(tasks, this.reporter.progress);
    this.reporter.say('');
    const explanation = found();
    return {
      json: { stage: 'compress', status: 'done', ...explanation },
      text: layersTable(explanation, this.reporter),
    };
  }

  private async readFileOptions(set: string[] | undefined): Promise<[FileOptions, Registry]> {
    const registry = await loadRegistry(this.config);
    const { fileOptions } = await import('../stages/compress/index.js');
    return [readSection('compress', fileOptions(registry), set), registry];
  }

  private async compressFile(given: string, { calibration, out, set }: FileFlags): Promise<CommandResult> {
    const model = resolve(given);
    const made =
      out === undefined
        ? join(dirname(model), `${basename(model, extname(model))}.compressed.onnx`)
        : resolve(out);
    if (made === model)
      throw new MaasError('MAAS_USAGE', '--out is --model itself', { hint: 'Name another file.' });
    const [options, registry] = await this.readFileOptions(set);
    const { compressFile } = await import('../stages/compress/file/compress-file.js');
    const started = performance.now();
    const order = {
      model,
      calibration: calibration === undefined ? undefined : resolve(calibration),
      out: made,
      options,
      registry,
      signal: this.stopping.signal,
    };
    const result = await compressFile(order, (tasks) => runTasks(tasks, this.reporter.progress));
    this.reporter.say('');
    const seconds = (performance.now() - started) / 1000;
    const outcome = { stage: 'compress', status: 'done' as const, ...result, seconds, why: [] };
    const text = `${summarize([outcome], this.reporter)}\n\n${passTable(result.passes, this.reporter)}\n\n${made}`;
    return { json: { ...outcome, model: made }, text };
  }
}

interface FileFlags {
  readonly explain?: boolean;
  readonly model?: string;
  readonly calibration?: string;
  readonly out?: string;
  readonly target?: string;
  set?: string[];
}
