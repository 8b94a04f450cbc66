import { join } from 'node:path';
import { readSignature } from '../../data/read-signature.js';
import { MaasError } from '../../errors.js';
import type { ModelSource, Registry, RunningService, ServiceContext } from '../../plugin/api.js';
import { curlLine } from '../../ui/curl-line.js';
import { shortDigest } from '../../ui/format.js';
import { withSpinner } from '../../ui/spinner.js';
import type { Reporter } from './reporter.js';

export interface ServeOrder {
  readonly registry: Registry;
  /** The config's section, when there is a config. */
  readonly options: unknown;
  /** What the command line says instead. */
  readonly overrides: Readonly<Record<string, unknown>>;
  readonly source: ModelSource;
  /** Folder of the config. */
  readonly root?: string;
  /** Folder for what can be made again. */
  readonly cache?: string;
  readonly spare?: ServiceContext['spare'];
  readonly beside?: ServiceContext['beside'];
  readonly isPart?: boolean;
}

export interface Served {
  readonly url: string;
  readonly model: string;
  /** Of the release that was served last. */
  readonly digest: string;
}

/** What starts `maas serve` once more, as one of several processes. The first one alone says what there is to say. */
export function besideWith(args: readonly string[]): NonNullable<ServeOrder['beside']> {
  const loud = ['--verbose', '--quiet', '--events', '--json'];
  return {
    script: process.argv[1]!,
    args: ['serve', '--part', '--quiet', ...args.filter((arg) => !loud.includes(arg))],
  };
}

/** Serves a release until `signal` says to stop, then answers what is under way and returns. */
export async function serveRelease(
  { registry, options, overrides, source, root, cache, spare, beside, isPart }: ServeOrder,
  reporter: Reporter,
  signal: AbortSignal,
): Promise<Served> {
  const service = registry.services.get('serve');
  if (!service) throw new MaasError('MAAS_PLUGIN_FAILED', 'no plugin brings the service serve');
  let isUp = false;
  const running = await withSpinner('Starting', reporter.progress, () =>
    service.start({
      options: { ...((options ?? service.options(registry).parse({})) as object), ...overrides },
      registry,
      source,
      ...(root !== undefined && { root }),
      ...(cache !== undefined && { cache }),
      ...(spare && { spare }),
      ...(beside && { beside }),
      ...(isPart && { isPart }),
      signal,
      emit: (event) => {
        reporter.emit(event);
        if (isUp && event.event === 'serving') {
          reporter.say(`Now ${event.model}, version ${shortDigest(event.digest)}`);
        }
      },
    }),
  );
  isUp = true;
  const { url, model } = running;
  reporter.say(`Serving ${await describeSource(source, running)}\n\nCtrl-C stops it.`);
  const stopped = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener(
      'abort',
      () => {
        resolve();
      },
      { once: true },
    );
  });
  await Promise.race([stopped, ...(running.failed ? [running.failed] : [])]);
  const { digest } = running;
  await running.stop();
  return { url, model, digest };
}

async function describeSource(source: ModelSource, { url, model, digest }: RunningService): Promise<string> {
  if (source.kind === 'repository') return `the models in ${source.path} at ${url}`;
  if (source.kind === 'file') {
    return `${model} at ${url}\n\n  curl -s ${url}/v2/models/${encodeURIComponent(model)}`;
  }
  const signature = await readSignature(join(source.path, 'signature.json'));
  return `${model}, release ${shortDigest(digest)}, at ${url}\n\n  ${curlLine(url, signature)}`;
}
