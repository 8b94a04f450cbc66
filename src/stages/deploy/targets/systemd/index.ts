import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { isMissing, makeFolder, onDisk, replaceFile } from '../../../../artifacts/durable.js';
import { defineTarget, type Release, type TargetContext, type TargetStep } from '../../../../plugin/api.js';
import { credentialsOf, urlOfProject } from '../../ask.js';
import { checkServer } from '../../check-server.js';
import { checkService } from '../../inspect.js';
import { ownScript } from '../../own-script.js';
import { runProgram } from '../../../run-program.js';
import { localTarget } from '../local/index.js';
import { writeUnit } from './unit.js';

const options = z.strictObject({
  directory: z
    .string()
    .min(1)
    .default('.maas/deploy')
    .describe('Folder for the releases, relative to the config file.'),
  unit: z
    .string()
    .regex(/^[\w.-]{1,200}$/, 'expected letters, digits, _ . and -')
    .optional()
    .describe('Name of the unit, without .service. Default: maas- and the name of the project.'),
  scope: z
    .enum(['system', 'user'])
    .default('system')
    .describe(
      '`system` needs root and starts with the machine; `user` runs as you, while you are logged in.',
    ),
  unitDirectory: z
    .string()
    .min(1)
    .optional()
    .describe('Folder for the unit. Default: /etc/systemd/system, or ~/.config/systemd/user.'),
  memory: z
    .string()
    .regex(/^\d+(\.\d+)?[KMGT%]?$/, 'expected a size, such as 512M')
    .optional()
    .describe('Most memory that the service may take, such as 512M.'),
  timeout: z
    .number()
    .positive()
    .default(60)
    .describe('Seconds in which the service must answer with the release it was given.'),
});

type Context = TargetContext<z.infer<typeof options>>;

/**
 * Releases in a folder of this machine, as the target `local` has them, with a systemd service that runs `maas serve` on them. A
 * running service goes over to the next release by itself; it is started anew only when its unit has changed.
 */
export const systemdTarget = defineTarget<z.infer<typeof options>>({
  name: 'systemd',
  summary: 'A systemd service on this machine.',
  canary: ['split', 'shadow'],
  options,
  link: (context) => localTarget.link!(asLocal(context)),
  async current(context) {
    // Without its unit a release runs nowhere: a deploy that was killed before the last steps is not done.
    const { file, text } = describeUnit(context);
    return (await readIfThere(file)) === text ? localTarget.current(asLocal(context)) : undefined;
  },
  steps: planSteps,
  list: (context) => localTarget.list(asLocal(context)),
  prune: (context) => localTarget.prune(asLocal(context)),
  inspect: async (context, release) => [
    await checkService(`${unitName(context)} at ${urlOfProject(context.project)}`, () =>
      observe(context, release),
    ),
  ],
  async rollback(context, count) {
    const digest = await localTarget.rollback(asLocal(context), count);
    await observe(context, { digest });
    return digest;
  },
});

function asLocal(context: Context): TargetContext {
  return { ...context, options: { directory: context.options.directory } };
}

function planSteps(context: Context, release: Release): TargetStep[] {
  const steps = localTarget.steps(asLocal(context), release);
  const tidy = steps.at(-1)!;
  let before: string | undefined;
  return [
    ...steps.slice(0, -1).map((step) => ({
      title: step.title,
      run: async (note: (text: string) => void) => {
        before ??= await localTarget.current(asLocal(context));
        await step.run(note);
      },
    })),
    {
      title: 'start the service',
      run: async (note) => {
        await installUnit(context, note);
        try {
          await observe(context, release);
        } catch (error) {
          // A service that does not answer with the new release goes on with the one before it.
          if (before !== undefined && before !== release.digest)
            await localTarget.rollback(asLocal(context), 1);
          throw error;
        }
      },
    },
    tidy,
  ];
}

function unitName({ project, options: { unit } }: Context): string {
  return `${unit ?? `maas-${project.name.replace(/[^\w.-]+/g, '-')}`}.service`;
}

async function systemctl({ options: { scope }, signal }: Context, ...words: string[]): Promise<void> {
  await runProgram('systemctl', [...(scope === 'user' ? ['--user'] : []), ...words], { signal });
}

interface Unit {
  readonly name: string;
  readonly folder: string;
  readonly file: string;
  readonly text: string;
}

/** The unit as it should be. */
function describeUnit(context: Context): Unit {
  const { project, options } = context;
  const { scope, memory, unitDirectory } = options;
  const usual = scope === 'system' ? '/etc/systemd/system' : join(homedir(), '.config', 'systemd', 'user');
  const folder = unitDirectory === undefined ? usual : resolve(project.root, unitDirectory);
  const name = unitName(context);
  const text = writeUnit({
    name: project.name,
    node: process.execPath,
    script: ownScript(),
    configFile: project.configFile,
    root: project.root,
    scope,
    memory,
  });
  return { name, folder, file: join(folder, name), text };
}

/** Has the unit as it should be, and the service running. */
async function installUnit(context: Context, note: (text: string) => void): Promise<void> {
  const { name, folder, file, text } = describeUnit(context);
  const isThere = (await readIfThere(file)) === text;
  if (isThere) await systemctl(context, 'start', name);
  else {
    await onDisk(`cannot write the unit ${file}`, async () => {
      await makeFolder(folder, folder);
      await replaceFile(file, text, folder);
    });
    await systemctl(context, 'daemon-reload');
    await systemctl(context, 'enable', name);
    await systemctl(context, 'restart', name);
  }
  note(`${name} ${isThere ? 'runs' : 'installed'}`);
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Waits until the service answers with a release. */
async function observe(
  { project, signal, options }: Context,
  release: { readonly digest: string; readonly path?: string | undefined },
) {
  const server = {
    url: urlOfProject(project),
    model: project.name,
    signal,
    ...(await credentialsOf(project)),
  };
  return checkServer(server, release, options.timeout);
}
