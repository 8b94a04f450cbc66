// Deploys or rolls back and kills itself right before its n-th change of the disk. Files are linked by the lock only,
// which has tests of its own.
// Arguments: folder, what to do (path of a release, or "rollback"), n, how to try it on requests (JSON; optional).
import { basename } from 'node:path';
import { dieAt } from '../die-at.mjs';

const [root, task, point, canary] = process.argv.slice(2);
const count = dieAt(Number(point));

const { localTarget } = await import('../../../../../dist/internals/deploy.js');
const context = {
  project: { root, configFile: `${root}/maas.config.yaml`, config: {} },
  ...(canary && { canary: JSON.parse(canary) }),
  options: localTarget.options.parse({}),
  keep: 2,
  signal: new globalThis.AbortController().signal,
  verify: () => Promise.resolve({ readyMs: 0, rows: 0, maxError: 0 }),
};
if (task === 'rollback') await localTarget.rollback(context, 1);
else
  for (const step of localTarget.steps(context, { path: task, digest: basename(task) }))
    await step.run(() => {});
process.stdout.write(String(count()));
