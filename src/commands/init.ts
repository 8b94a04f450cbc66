import { resolve } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { MaasError } from '../errors.js';
import { formatTable } from '../ui/table.js';
import { BaseCommand, type CommandResult } from './cli/base-command.js';
import { listPreparations } from './scaffold/list-preparations.js';
import { scaffold } from './scaffold/scaffold.js';
import { findTemplate, listTemplates } from './scaffold/templates.js';

export default class Init extends BaseCommand<typeof Init> {
  static override summary = 'Start a new model project from a template.';
  static override description =
    'The project runs at once: `npx maas run` in its folder trains, compresses and deploys a model on the sample data.';
  static override examples = [
    { description: 'Start a project', command: '<%= config.bin %> init my-model' },
    { description: 'See the templates there are', command: '<%= config.bin %> init --list' },
  ];
  static override args = {
    dir: Args.string({ description: 'Folder to make; its name becomes the model’s.' }),
  };
  static override flags = {
    template: Flags.string({ summary: 'Template to copy.', default: 'tabular-classifier' }),
    list: Flags.boolean({ summary: 'List the templates and stop.' }),
    force: Flags.boolean({ summary: 'Write into a folder that is not empty.' }),
  };

  protected override async execute(): Promise<CommandResult> {
    const { root: installation, version } = this.config;
    if (this.flags.list) {
      const templates = listTemplates(installation).map(({ name, summary }) => ({ name, summary }));
      const rows = templates.map(({ name, summary }) => [name, summary]);
      return { json: { templates }, text: formatTable(rows) };
    }
    if (this.args.dir === undefined) {
      throw new MaasError('MAAS_USAGE', 'name the folder to make', {
        hint: 'Write `maas init DIR`; `maas init .` fills the current one.',
      });
    }
    const template = findTemplate(installation, this.flags.template);
    const path = resolve(this.args.dir);
    const { name, files, linked } = await scaffold({
      template,
      target: path,
      installation: { path: installation, version },
      force: this.flags.force,
    });
    const next = [
      ...(path === process.cwd() ? [] : [`cd ${this.args.dir}`]),
      ...listPreparations(template, path, installation),
      'npx maas run',
    ];
    return {
      json: { status: 'done', template: template.name, name, path, files, linked, next },
      text: `Made ${name} from the template ${template.name}. Next:\n\n${next.map((line) => `  ${line}`).join('\n')}\n`,
    };
  }
}
