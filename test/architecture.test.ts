import { readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync, Visitor } from 'rolldown/utils';
import { describe, expect, it } from 'vitest';

const src = fileURLToPath(new URL('../src', import.meta.url));

/** What each part of src/ may import besides itself. Everything may import errors.ts, own-files.ts and suggest.ts. */
const arrows: Record<string, readonly string[]> = {
  commands: ['pipeline', 'stages', 'artifacts', 'plugin', 'config', 'data', 'evaluate', 'ui'],
  pipeline: ['stages', 'plugin'],
  stages: ['artifacts', 'plugin', 'config', 'data', 'evaluate', 'ui', 'runtime', 'ir'],
  artifacts: ['plugin', 'config', 'data', 'evaluate', 'ui', 'runtime', 'ir'],
  plugin: ['artifacts', 'config', 'data', 'evaluate', 'ui', 'runtime', 'ir'],
  config: ['artifacts', 'plugin', 'data', 'evaluate', 'ui', 'runtime', 'ir'],
  data: ['artifacts', 'plugin', 'config', 'evaluate', 'ui', 'runtime', 'ir'],
  evaluate: ['artifacts', 'plugin', 'config', 'data', 'ui', 'runtime', 'ir'],
  ui: ['artifacts', 'plugin', 'config', 'data', 'evaluate', 'runtime', 'ir'],
  runtime: ['ir'],
  ir: [],
  errors: [],
  'own-files': [],
  suggest: [],
};

/** Long by nature: generated code, and tables of operators. */
const mayBeLong = /\.generated\.ts$|^ir\/(ops|shapes|gradient)(\/|\.ts$)/;

interface Module {
  /** Path below src, with forward slashes. */
  readonly path: string;
  /** Top-level folder, or the name of a file that lies at the top. */
  readonly part: string;
  readonly text: string;
  /** Paths below src of what it imports from there. */
  readonly imports: readonly string[];
  /** Packages it imports. */
  readonly packages: readonly string[];
}

const modules = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => readModule(path.split(sep).join('/')));

function readModule(path: string): Module {
  const text = readFileSync(join(src, path), 'utf8');
  const specifiers = importsOf(text);
  const imports = specifiers
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => join(dirname(path), specifier).split(sep).join('/').replace(/\.js$/, '.ts'));
  const packages = specifiers.filter((specifier) => !specifier.startsWith('.'));
  return { path, part: partOf(path), text, imports, packages };
}

/** What a module names as static, dynamic or type import, or exports from elsewhere. */
function importsOf(text: string): string[] {
  const found: string[] = [];
  const add = ({ source }: { source: object | null }): void => {
    if (source && 'value' in source && typeof source.value === 'string') found.push(source.value);
  };
  const { program } = parseSync('module.ts', text);
  new Visitor({
    ImportDeclaration: add,
    ExportAllDeclaration: add,
    ExportNamedDeclaration: add,
    ImportExpression: add,
    TSImportType: add,
  }).visit(program);
  return found;
}

function partOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : basename(path, '.ts');
}

function stageOf(path: string): string | undefined {
  return /^stages\/([^/]+)\//.exec(path)?.[1];
}

const breaches = (find: (module: Module) => readonly string[]): string[] =>
  modules.flatMap((module) => find(module).map((what) => `${module.path}: ${what}`));

describe('architecture', () => {
  it('knows every part of src/', () => {
    expect([...new Set(modules.map(({ part }) => part))].filter((part) => !(part in arrows))).toEqual([]);
    expect(modules.length).toBeGreaterThan(50);
  });

  it('finds imports of every kind', () => {
    const registered = modules.find(({ path }) => path === 'commands/deploy.ts')!;
    expect(registered.imports).toContain('stages/deploy/index.ts');
    expect(registered.imports).toContain('commands/cli/stage-command.ts');
    expect(registered.packages).toEqual(['@oclif/core']);
  });

  it('imports downwards only', () => {
    const allowed = (from: string, to: string) =>
      from === to || ['errors', 'own-files', 'suggest'].includes(to) || arrows[from]?.includes(to);
    expect(
      breaches(({ part, imports }) => imports.filter((target) => !allowed(part, partOf(target)))),
    ).toEqual([]);
  });

  it('lets no stage import another', () => {
    const found = breaches(({ path, imports }) => {
      const stage = stageOf(path);
      return stage === undefined
        ? []
        : imports.filter((target) => stageOf(target) !== undefined && stageOf(target) !== stage);
    });
    expect(found).toEqual([]);
  });

  it('opens onnxruntime through one door', () => {
    expect(
      breaches(({ part, packages }) =>
        part === 'runtime' ? [] : packages.filter((name) => name.startsWith('onnxruntime')),
      ),
    ).toEqual([]);
  });

  it('reads the environment and the current folder in commands only', () => {
    const exempt = (module: Module) =>
      module.part === 'commands' || /^runtime\/load(-tfjs)?\.ts$/.test(module.path);
    expect(
      breaches((module) => {
        if (exempt(module)) return [];
        const code = module.text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
        return code.match(/process\s*\.\s*(env|cwd)\b|process\['(env|cwd)'\]/g) ?? [];
      }),
    ).toEqual([]);
  });

  it('keeps files within 400 lines', () => {
    expect(
      breaches(({ path, text }) => {
        const lines = text.split('\n').length - 1;
        return lines > 400 && !mayBeLong.test(path) ? [`${lines} lines`] : [];
      }),
    ).toEqual([]);
  });

  it('names files in kebab-case, and none of them utils', () => {
    const names = modules.map(({ path }) => relative('.', path));
    const isBad = (path: string) =>
      !/^([a-z0-9]+(-[a-z0-9]+)*\/)*[a-z0-9]+(-[a-z0-9]+)*(\.generated)?\.ts$/.test(path) ||
      /(^|\/)(utils?|helpers?|common|misc)(\/|\.ts$)/.test(path);
    expect(names.filter(isBad)).toEqual([]);
  });
});
