import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { didYouMean } from '../../suggest.js';
import { MaasError } from '../../errors.js';

export interface Template {
  readonly name: string;
  readonly summary: string;
  readonly path: string;
}

/** The templates of an installation: each folder that holds a package.json, whose description says what it is. */
export function listTemplates(installation: string): Template[] {
  const folder = join(installation, 'templates');
  return readdirSync(folder)
    .sort()
    .filter((name) => existsSync(join(folder, name, 'package.json')))
    .map((name) => ({ name, summary: readSummary(join(folder, name)), path: join(folder, name) }));
}

/** @throws MaasError MAAS_TEMPLATE_UNKNOWN, with the templates there are. */
export function findTemplate(installation: string, name: string): Template {
  const templates = listTemplates(installation);
  const template = templates.find((each) => each.name === name);
  if (template) return template;
  const names = templates.map((each) => each.name);
  throw new MaasError('MAAS_TEMPLATE_UNKNOWN', `there is no template "${name}"`, {
    hint: [didYouMean(name, names), `There are: ${names.join(', ')}.`]
      .filter((part) => part !== undefined)
      .join(' '),
    details: { templates: names },
  });
}

function readSummary(template: string): string {
  const { description = '' } = JSON.parse(readFileSync(join(template, 'package.json'), 'utf8')) as {
    description?: string;
  };
  return description;
}
