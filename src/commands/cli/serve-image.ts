// Where a server starts that is deployed by itself, in an image or on another machine: `node serve-image.js RELEASE [OPTIONS]`. It
// is `maas serve` without the command line, set up by serve.json and by OPTIONS in JSON: only what serving takes is there. A link is
// followed to the releases that it will point to. Events go to stdout as JSON, one a line.
import { lstatSync, readFileSync } from 'node:fs';
import { exitCodes, MaasError } from '../../errors.js';
import { ownFile } from '../../own-files.js';
import { apiVersion, type Protocol } from '../../plugin/api.js';
import { createRegistry } from '../../plugin/registry.js';
import * as serve from '../../stages/serve/index.js';
import { tracingFromEnv } from './tracing-from-env.js';

/** Its last argument, in a process that serves beside the first. */
const part = '--part';

const say = (event: object): void => {
  process.stdout.write(`${JSON.stringify(event)}\n`);
};

async function serveImage(path: string | undefined, overrides = '{}', isPart = false): Promise<void> {
  if (path === undefined) throw new MaasError('MAAS_USAGE', 'name the release folder to serve');
  const { serveService } = serve;
  const protocols = Object.values(serve).filter((each): each is Protocol => 'handle' in each);
  const registration = { apiVersion, services: [serveService], protocols };
  const registry = createRegistry([{ plugin: 'maas-cli', registration }]);
  const written = readFileSync(ownFile('serve.json'), 'utf8');
  // Null takes away what serve.json says.
  const options = Object.entries({
    ...(JSON.parse(written) as object),
    ...(JSON.parse(overrides) as object),
  }).filter(([, value]) => value !== null);
  const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;

  const fromEnv = tracingFromEnv(process.env, (text) => {
    say({ event: 'warning', stage: 'serve', text });
  });
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
    options: serveService
      .options(registry)
      .parse({ ...(fromEnv && { tracing: fromEnv }), ...Object.fromEntries(options) }),
    registry,
    source: { kind: 'release', path, follow: isLink },
    signal: stopping.signal,
    emit: say,
    beside: { script: process.argv[1]!, args: [path, overrides, part] },
    isPart,
  });
  await Promise.race([stopped, ...(running.failed ? [running.failed] : [])]);
  await running.stop();
}

serveImage(process.argv[2], process.argv[3], process.argv[4] === part).catch((error: unknown) => {
  const known = error instanceof MaasError;
  say({ event: 'error', error: known ? error.toJSON() : String((error as Error).stack ?? error) });
  process.exitCode = known ? error.exitCode : exitCodes.bug;
});
