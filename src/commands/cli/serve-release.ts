import { join } from 'node:path';
import { readSignature } from '../../data/read-signature.js';
import { MaasError } from '../../errors.js';
import type { Registry, ServiceContext } from '../../plugin/api.js';
import { curlLine } from '../../ui/curl-line.js';
import { shortDigest } from '../../ui/format.js';
import { withSpinner } from '../../ui/spinner.js';
import type { Reporter } from './reporter.js';

export interface ServeOrder {
  readonly registry: Registry;
  /** The config's section, when there is a config. */
  readonly options: unknown;
  /** What the command line says instead. */
  readonly overrides: { readonly host?: string; readonly port?: number };
  readonly release: ServiceContext['release'];
}

export interface Served {
  readonly url: string;
  readonly model: string;
  /** Of the release that was served last. */
  readonly digest: string;
}

/** Serves a release until `signal` says to stop, then answers what is under way and returns. */
export async function serveRelease(
  { registry, options, overrides, release }: ServeOrder,
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
      release,
      signal,
      emit: (event) => {
        reporter.emit(event);
        if (isUp && event.event === 'serving') reporter.say(`Now release ${shortDigest(event.digest)}`);
      },
    }),
  );
  isUp = true;
  const { url, model } = running;
  const signature = await readSignature(join(release.path, 'signature.json'));
  reporter.say(`Serving ${model}, release ${shortDigest(running.digest)}, at ${url}`);
  reporter.say(`\n  ${curlLine(url, signature)}\n\nCtrl-C stops it.`);
  if (!signal.aborted) {
    await new Promise((resolve) => {
      signal.addEventListener('abort', resolve, { once: true });
    });
  }
  const { digest } = running;
  await running.stop();
  return { url, model, digest };
}
