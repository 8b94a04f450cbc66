import { createStyle } from '../../ui/style.js';
import { formatTable } from '../../ui/table.js';
import type { CommandResult } from '../cli/base-command.js';
import { ProjectCommand } from '../cli/project-command.js';

export default class Engines extends ProjectCommand<typeof Engines> {
  static override summary = 'List the engines that can train, and which of them are here.';
  static override examples = [
    { description: 'See what there is', command: '<%= config.bin %> engines' },
    { description: 'Install one', command: '<%= config.bin %> engines install tfjs-node' },
  ];

  protected override async execute(): Promise<CommandResult> {
    const { registry, project } = await this.openIfThere();
    const places = { root: project?.root ?? process.cwd(), cache: this.config.cacheDir };
    const engines = await Promise.all(
      [...registry.engines.values()].map(async (engine) => {
        const missing = await engine.unavailable?.(places);
        const { name, summary } = engine;
        return { name, summary, available: missing === undefined, ...(missing && { ...missing }) };
      }),
    );
    const style = createStyle(this.reporter.color);
    const rows = engines.map(({ name, summary, available, ...missing }) => [
      name,
      available ? style.green('ready') : style.yellow('missing'),
      available ? summary : `${missing.reason}. ${missing.hint}`,
    ]);
    return {
      json: { engines },
      text: formatTable(rows, { header: ['ENGINE', 'STATE', ''], color: this.reporter.color }),
    };
  }
}
