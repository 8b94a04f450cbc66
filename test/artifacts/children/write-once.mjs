// Commits one artifact of some size and prints the code of the error, if any, and its message.
// argv: store, bytes, user to become (root may write anywhere)
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asDiskError, digestOf, openStore } from '../../../dist/internals/artifacts.js';

const [root, bytes, user] = process.argv.slice(2);
// Only now: the checkout may lie where nobody else may read.
if (user) process.setuid(Number(user));
try {
  const store = openStore(root);
  const unlock = await store.lock('write-once');
  const staging = await store.stage('train');
  try {
    await writeFile(join(staging.path, 'model.onnx'), Buffer.alloc(Number(bytes)));
    await staging.commit({
      stage: 'train',
      kind: 'model',
      name: 'test',
      seed: 1,
      inputs: {},
      options: digestOf({}),
      key: {},
      toolchain: {},
      metrics: {},
    });
  } finally {
    await staging.discard();
    await unlock();
  }
  process.stdout.write('done');
} catch (error) {
  const reason = asDiskError(error, 'cannot write');
  process.stdout.write(`${reason.code} ${reason.message}`);
}
