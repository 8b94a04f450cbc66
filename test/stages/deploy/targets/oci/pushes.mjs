// Arguments: root, folder of the layout, repository, path of a release, n: pushes it, killed before its n-th change of the disk; 0 lets it
// live. Prints how many changes there were.
import { basename } from 'node:path';
import { dieAt } from '../die-at.mjs';

const [root, directory, image, path, point] = process.argv.slice(2);
const count = dieAt(Number(point));

const { makeOciTarget } = await import('../../../../../dist/internals/deploy.js');
const target = makeOciTarget(() =>
  Promise.resolve({
    base: [{ path: 'usr/local/bin/node', from: Buffer.from('node'), executable: true }],
    dependencies: [{ path: 'app/node_modules/a/index.js', from: Buffer.from('export {};') }],
    app: [{ path: 'app/serve.json', from: Buffer.from('{}') }],
    entry: '/app/serve.js',
    port: 8080,
  }),
);
const context = {
  project: { name: 'plain', seed: 0, root, configFile: `${root}/maas.config.yaml`, config: {} },
  options: target.options.parse({ directory, image }),
  keep: 2,
  signal: new globalThis.AbortController().signal,
  verify: () => Promise.resolve({ readyMs: 0, rows: 0, maxError: 0 }),
};
for (const step of target.steps(context, { path, digest: basename(path) })) await step.run(() => {});
process.stdout.write(String(count()));
