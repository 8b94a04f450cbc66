// Deploys or rolls back and kills itself right before its n-th change of the disk. Files are linked by the lock only,
// which has tests of its own.
// Arguments: folder, what to do (path of a release, or "rollback"), n.
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { basename } from 'node:path';

const [root, task, dieAt] = process.argv.slice(2);
let changes = 0;
for (const name of [
  'mkdir',
  'open',
  'copyFile',
  'chmod',
  'rename',
  'symlink',
  'rm',
  'writeFile',
  'link',
  'unlink',
]) {
  const real = fs[name];
  fs[name] = (...args) => {
    // Opening a file to read it changes nothing.
    if (name === 'open' && (args[1] ?? 'r') === 'r') return real(...args);
    changes += 1;
    if (changes === Number(dieAt)) process.kill(process.pid, 'SIGKILL');
    return real(...args);
  };
}
syncBuiltinESMExports();

const { localTarget } = await import('../../../../../dist/stages/deploy/targets/local/index.js');
const context = {
  project: { root },
  options: localTarget.options.parse({}),
  keep: 2,
  signal: new globalThis.AbortController().signal,
  verify: () => Promise.resolve({ readyMs: 0, rows: 0, maxError: 0 }),
};
if (task === 'rollback') await localTarget.rollback(context, 1);
else
  for (const step of localTarget.steps(context, { path: task, digest: basename(task) }))
    await step.run(() => {});
process.stdout.write(String(changes));
