import { tmpdir } from 'node:os';
import { MaasError } from '../../../../errors.js';
import { packArchive } from '../oci/archive.js';
import { type Descriptor, releaseAnnotation } from '../oci/blob.js';
import type { Layout } from '../oci/layout.js';
import { type ProgramRun, runProgram, tryProgram } from '../../../run-program.js';

/** A container as its engine tells it. */
export interface Container {
  readonly running: boolean;
  /** Digest of the release in it. */
  readonly release: string | undefined;
  /** Id of the image that it was made from. */
  readonly image: string;
}

interface Inspected {
  readonly State: { readonly Running: boolean };
  readonly Config: { readonly Labels: Readonly<Record<string, string>> | null };
  readonly Image: string;
}

/** Where a container's port is to be had on this machine. Port 0 is any that is free. */
export interface Published {
  readonly host: string;
  readonly port: number;
  /** Port in the container. */
  readonly to: number;
}

/**
 * Docker or podman, through its own command line: both understand the same words. What it does takes no time worth interrupting,
 * and has to be done to the end.
 */
export class Engine {
  private readonly run: ProgramRun = { signal: new AbortController().signal };

  constructor(readonly program: 'docker' | 'podman') {}

  /** @returns undefined when there is no container of that name. */
  async inspect(name: string): Promise<Container | undefined> {
    const { exitCode, stdout, stderr } = await this.try('container', 'inspect', name);
    if (exitCode !== 0) {
      if (/no such (container|object)|no container with name/i.test(stderr)) return undefined;
      throw new MaasError('MAAS_PROGRAM', `${this.program} cannot be asked: ${stderr.trim()}`);
    }
    const [found] = JSON.parse(stdout) as Inspected[];
    const { State, Config, Image } = found!;
    return { running: State.Running, release: Config.Labels?.[releaseAnnotation], image: Image };
  }

  /** Brings an image of a layout into the engine's own storage. */
  async load(layout: Layout, image: Descriptor, name: string, signal: AbortSignal): Promise<void> {
    await runProgram(this.program, ['load'], { signal, input: await packArchive(layout, image, name) });
  }

  async removeImage(name: string): Promise<void> {
    await this.try('image', 'rm', '--force', name);
  }

  /** Makes a container, and does not start it. */
  async create(name: string, image: string, published: Published, args: readonly string[]): Promise<void> {
    const { host, port, to } = published;
    const address = `${host.includes(':') ? `[${host}]` : host}:${port === 0 ? '' : port}:${to}`;
    await this.must('create', '--name', name, '--publish', address, ...args, image);
  }

  async start(name: string): Promise<void> {
    // Where a container runs out of memory, podman's monitor leaves a file `oom` in the folder that it was started from.
    await runProgram(this.program, ['start', name], { ...this.run, cwd: tmpdir() });
  }

  /** Asks it to stop with SIGTERM; kills it after `seconds`. */
  async stop(name: string, seconds: number): Promise<void> {
    await this.must('stop', '--time', String(seconds), name);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.must('rename', from, to);
  }

  /** Removes a container, running or not, if it is there. */
  async remove(name: string): Promise<void> {
    await this.try('rm', '--force', name);
  }

  /**
   * URL of a port of a running container.
   * @throws MaasError MAAS_VERIFY_FAILED when it does not run any more.
   */
  async urlOf(name: string, port: number, scheme: 'http' | 'https'): Promise<string> {
    const [address = ''] = (await this.must('port', name, `${port}/tcp`)).trim().split('\n');
    if (address === '')
      throw new MaasError('MAAS_VERIFY_FAILED', `the container ${name} ended as soon as it was started`);
    return `${scheme}://${address.replace(/^0\.0\.0\.0|^\[::\]/, '127.0.0.1')}`;
  }

  /** The end of what it wrote. */
  async logs(name: string): Promise<string> {
    const { stdout, stderr } = await this.try('logs', '--tail', '20', name);
    return [stdout, stderr].filter(Boolean).join('\n').trim();
  }

  private try(...args: string[]) {
    return tryProgram(this.program, args, this.run);
  }

  private must(...args: string[]): Promise<string> {
    return runProgram(this.program, args, this.run);
  }
}
