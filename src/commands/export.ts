import { existsSync } from 'node:fs';
import { basename, extname, join, resolve } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { MaasError } from '../errors.js';
import { formatBytes } from '../ui/format.js';
import { withSpinner } from '../ui/spinner.js';
import type { CommandResult } from './cli/base-command.js';
import { ProjectCommand, projectFlags } from './cli/project-command.js';

const formatNames = ['onnx', 'tfjs', 'safetensors'] as const;

export default class Export extends ProjectCommand<typeof Export> {
  static override summary = 'Write the trained model, or any ONNX file, in another format.';
  static override description =
    'onnx: one file with everything inside. tfjs: a graph model for TensorFlow.js, in browsers and Node.js, with a module that takes rows as POST /predict does; where TensorFlow.js is here, it is run and compared. safetensors: the weights alone, by name.';
  static override examples = [
    { description: 'For a web page', command: '<%= config.bin %> export --format tfjs --out public/iris' },
    { description: 'The model as one file', command: '<%= config.bin %> export --out iris.onnx' },
    { description: 'Any ONNX file', command: '<%= config.bin %> export resnet50.onnx --format tfjs' },
  ];
  static override args = {
    file: Args.string({ description: 'Export this ONNX file. Needs no project.', required: false }),
  };
  static override flags = {
    ...projectFlags,
    format: Flags.option({ summary: 'What to write.', options: formatNames, default: 'onnx' as const })(),
    out: Flags.string({
      summary: 'The file to write, or the folder for tfjs. Default: by the name of the model.',
      helpValue: 'PATH',
    }),
    stage: Flags.string({
      summary: 'The stage whose model it is. Default: the last one that made one.',
      helpValue: 'STAGE',
    }),
    dim: Flags.string({
      summary: 'A size that the model leaves open, as in seq=64. May be given several times.',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'NAME=SIZE',
    }),
    force: Flags.boolean({ summary: 'Write over what is there.' }),
  };

  protected override async execute(): Promise<CommandResult> {
    const { format, out, dim = [], force } = this.flags;
    const source = await this.findModel();
    const { exportModel, formats, compareWithTensorFlow } = await import('../stages/export/index.js');
    const path = resolve(out ?? `${source.name}${formats[format].suffix}`);
    if (path === source.model)
      throw new MaasError('MAAS_USAGE', '--out is the model itself', { hint: 'Name another file.' });
    const order = {
      ...source,
      format,
      out: path,
      sizes: readSizes(dim),
      force,
      version: this.config.version,
    };
    const { files, bytes, model } = await withSpinner('Exporting', this.reporter.progress, () =>
      exportModel(order),
    );
    const check =
      format === 'tfjs'
        ? await withSpinner('Comparing', this.reporter.progress, () =>
            compareWithTensorFlow(model, source.model, path, {
              root: process.cwd(),
              cache: this.config.cacheDir,
            }),
          )
        : undefined;
    const lines = [
      `${path} (${formatBytes(bytes)}): ${formats[format].summary}`,
      ...(check ? [check.text] : []),
    ];
    return {
      json: { status: 'done', format, path, files, bytes, ...(check && { check: check.figures }) },
      text: lines.join('\n'),
    };
  }

  /** The file that is named, or the model of the project's last stage that has one. */
  private async findModel(): Promise<{ readonly model: string; readonly name: string }> {
    const { file } = this.args;
    const { stage } = this.flags;
    if (file !== undefined) {
      if (stage !== undefined)
        throw new MaasError('MAAS_USAGE', '--stage is of a project, and a file is named', {
          hint: 'Leave one of the two out.',
        });
      const model = resolve(file);
      if (!existsSync(model))
        throw new MaasError('MAAS_MODEL_INVALID', `there is no file ${file}`, {
          hint: 'Name an .onnx file.',
        });
      return { model, name: basename(model, extname(model)) };
    }
    const context = await this.open();
    const { openModel } = await import('../stages/inputs.js');
    const artifact = await openModel(context, stage);
    return { model: join(artifact.path, 'model.onnx'), name: context.project.name };
  }
}

function readSizes(given: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    given.map((text) => {
      const [, name, size] = /^(.+)=([1-9]\d*)$/.exec(text) ?? [];
      if (name === undefined)
        throw new MaasError('MAAS_USAGE', `--dim ${text} is no NAME=SIZE`, {
          hint: 'Write it as in --dim seq=64.',
        });
      return [name, Number(size)];
    }),
  );
}
