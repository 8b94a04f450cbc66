import { performance } from 'node:perf_hooks';
import { z } from 'zod';
import { MaasError } from '../../../../errors.js';
import type { Target, TargetContext } from '../../../../plugin/api.js';
import { credentialsOf, schemeOf } from '../../ask.js';
import { checkServer } from '../../check-server.js';
import { checkService } from '../../inspect.js';
import { exposedPort } from '../oci/image.js';
import { defineImageTarget, type NextImage } from '../oci/image-target.js';
import { imageOptions, type Images } from '../oci/images.js';
import { type CollectParts, collectParts } from '../oci/parts.js';
import { Engine } from './engine.js';

const containerOptions = (program: string) =>
  z.strictObject({
    name: z
      .string()
      .regex(/^[a-zA-Z0-9][\w.-]*$/, 'expected letters, digits, _ . and -')
      .optional()
      .describe('Name of the container. Default: the name of the project.'),
    host: z.string().min(1).default('127.0.0.1').describe('Address of this machine that it answers on.'),
    port: z.int().min(1).max(65535).default(8080).describe('Port of this machine that it answers on.'),
    memory: z
      .string()
      .regex(/^\d+[bkmg]?$/, 'expected a number with b, k, m or g, such as 512m')
      .optional()
      .describe('Most memory that it may take, such as 512m.'),
    cpus: z.number().positive().optional().describe('Most processors that it may take.'),
    args: z
      .array(z.string())
      .default([])
      .describe(`Further arguments for \`${program} create\`, such as --network=models.`),
    timeout: z.number().positive().default(60).describe('Seconds in which a container must be ready.'),
    ...imageOptions(`.maas/${program}`),
  });

export type ContainerOptions = z.infer<ReturnType<typeof containerOptions>>;
type Context = TargetContext<ContainerOptions>;

/** Seconds that a container has to answer what it was asked before it is killed. */
const drain = 30;

/** Images run without rights, without a disk to write to, and come back after a crash or a reboot. */
const confinement = [
  ...['--read-only', '--cap-drop=all', '--security-opt=no-new-privileges'],
  ...['--tmpfs=/tmp', '--restart=unless-stopped'],
];

/** Releases as one container of this machine that docker or podman runs. */
export function makeContainerTarget(program: 'docker' | 'podman', collect: CollectParts): Target {
  return defineImageTarget<ContainerOptions>(
    {
      name: program,
      summary: `A container on this machine, run by ${program}.`,
      options: containerOptions(program),
      async current(context) {
        const found = await new Engine(program).inspect(nameOf(context));
        return found?.running === true ? found.release : undefined;
      },
      switchTo: (context, images, next, note) => new Switch(program, context, images, next).make(note),
      async inspect(context, images, { digest, path }) {
        const [engine, name] = [new Engine(program), nameOf(context)];
        const { project, options, signal } = context;
        const look = async () => {
          const image = (await images.place.resolve(digest))!;
          const url = await engine.urlOf(name, await exposedPort(images.place, image), schemeOf(project));
          const server = { url, model: project.name, signal, ...(await credentialsOf(project)) };
          return checkServer(server, { digest, path }, options.timeout);
        };
        return [await checkService(`container ${name}`, look)];
      },
      async forget(context, releases) {
        const engine = new Engine(program);
        for (const digest of releases) await engine.removeImage(imageName(context, digest));
      },
    },
    collect,
  );
}

export const dockerTarget = makeContainerTarget('docker', collectParts);
export const podmanTarget = makeContainerTarget('podman', collectParts);

function nameOf({ project, options }: Context): string {
  return options.name ?? project.name;
}

function imageName(context: Context, digest: string): string {
  return `localhost/maas/${nameOf(context).toLowerCase()}:${digest.slice(0, 32)}`;
}

/** One switch from the container that runs to the next one. */
class Switch {
  private readonly engine: Engine;
  private readonly name: string;
  private readonly image: string;
  private readonly next: string;
  private readonly former: string;
  /** Port in the container. */
  private port = 8080;

  constructor(
    program: 'docker' | 'podman',
    private readonly context: Context,
    private readonly images: Images,
    private readonly wanted: NextImage,
  ) {
    this.engine = new Engine(program);
    this.name = nameOf(context);
    this.image = imageName(context, wanted.release);
    this.next = `${this.name}-next`;
    this.former = `${this.name}-former`;
  }

  /**
   * The next container is tried on a spare port while the former one answers; then they change places. Whatever fails, the former
   * one answers again.
   */
  async make(note: (text: string) => void): Promise<void> {
    const { context, engine, images, wanted } = this;
    await this.putBack();
    if (await this.isInPlace()) return;
    this.port = await exposedPort(images.layout, wanted.image);
    await engine.load(images.layout, wanted.image, this.image, context.signal);
    await this.tryOut();
    context.signal.throwIfAborted();
    const stopped = performance.now();
    await this.changePlaces();
    const { host, port } = context.options;
    const gap = ((performance.now() - stopped) / 1000).toFixed(1);
    note(`${this.name} on ${host}:${port} → ${wanted.release.slice(0, 12)}; ${gap} s between the two`);
  }

  /** Undoes what a kill in the middle of a switch has left. */
  private async putBack(): Promise<void> {
    const { engine, name, former } = this;
    if ((await engine.inspect(former)) === undefined) return;
    if ((await engine.inspect(name))?.running === true) await engine.remove(former);
    else await this.restore();
  }

  private async restore(): Promise<void> {
    await this.engine.remove(this.name);
    await this.engine.rename(this.former, this.name);
    await this.engine.start(this.name);
  }

  private async isInPlace(): Promise<boolean> {
    const found = await this.engine.inspect(this.name);
    return found?.running === true && found.release === this.wanted.release;
  }

  private async tryOut(): Promise<void> {
    const { engine, next, image } = this;
    await engine.remove(next);
    try {
      await engine.create(next, image, { host: '127.0.0.1', port: 0, to: this.port }, this.args());
      await this.check(next);
    } finally {
      await engine.remove(next);
    }
  }

  private async changePlaces(): Promise<void> {
    const { engine, name, next, former, image } = this;
    const { host, port } = this.context.options;
    await engine.create(next, image, { host, port, to: this.port }, this.args());
    const old = await engine.inspect(name);
    if (old !== undefined) {
      await engine.rename(name, former);
      await engine.stop(former, drain);
    }
    await engine.rename(next, name);
    try {
      await this.check(name);
    } catch (error) {
      if (old === undefined) await engine.remove(name);
      else await this.restore();
      throw error;
    }
    await engine.remove(former);
  }

  /** Starts a container and waits until it answers as it should. */
  private async check(name: string): Promise<void> {
    const { context, engine, wanted } = this;
    const { options, project, signal } = context;
    try {
      await engine.start(name);
      const url = await engine.urlOf(name, this.port, schemeOf(project));
      const release = { digest: wanted.release, path: wanted.path };
      const server = { url, model: project.name, signal, ...(await credentialsOf(project)) };
      await checkServer(server, release, options.timeout);
    } catch (error) {
      if (!(error instanceof MaasError)) throw error;
      const said = await engine.logs(name);
      throw new MaasError(
        'MAAS_VERIFY_FAILED',
        `${error.message}${said && `. The container said:\n${said}`}`,
        {
          cause: error,
        },
      );
    }
  }

  private args(): string[] {
    const { memory, cpus, args } = this.context.options;
    return [
      ...confinement,
      ...(memory === undefined ? [] : [`--memory=${memory}`]),
      ...(cpus === undefined ? [] : [`--cpus=${cpus}`]),
      ...args,
    ];
  }
}
