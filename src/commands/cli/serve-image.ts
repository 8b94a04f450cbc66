// Where an image of the oci target starts: `node serve-image.js /releases/<digest>`. It is `maas serve --release` without
// the command line: an image holds only what serving takes. Events go to stdout as JSON, one a line.
import { readFileSync } from 'node:fs';
import { exitCodes, MaasError } from '../../errors.js';
import { apiVersion, type Protocol } from '../../plugin/api.js';
import { createRegistry } from '../../plugin/registry.js';
import * as serve from '../../stages/serve/index.js';

const say = (event: object): void => {
  process.stdout.write(`${JSON.stringify(event)}\n`);
};

async function serveImage(path: string | undefined): Promise<void> {
  if (path === undefined) throw new MaasError('MAAS_USAGE', 'name the release folder to serve');
  const { serveService } = serve;
  const protocols = Object.values(serve).filter((each): each is Protocol => 'handle' in each);
  const registration = { apiVersion, services: [serveService], protocols };
  const registry = createRegistry([{ plugin: 'maas-cli', registration }]);
  const options = JSON.parse(
    readFileSync(new URL('../../../serve.json', import.meta.url), 'utf8'),
  ) as unknown;

  const stopping = new AbortController();
  const stopped = new Promise<void>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) {
      process.on(name, () => {
        stopping.abort();
        resolve();
      });
    }
  });
  const running = await serveService.start({
    options: serveService.options(registry).parse(options),
    registry,
    source: { kind: 'release', path, follow: false },
    signal: stopping.signal,
    emit: say,
  });
  await stopped;
  await running.stop();
}

serveImage(process.argv[2]).catch((error: unknown) => {
  const known = error instanceof MaasError;
  say({ event: 'error', error: known ? error.toJSON() : String((error as Error).stack ?? error) });
  process.exitCode = known ? error.exitCode : exitCodes.bug;
});
