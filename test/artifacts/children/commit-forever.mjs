// Commits and records one artifact after another until it is killed; prints a dot after each. argv: store, first number.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf, openStore } from '../../../dist/internals/artifacts.js';

const [root, start] = process.argv.slice(2);
const store = openStore(root);
await store.lock('commit-forever');
for (let n = Number(start); ; n++) {
  const staging = await store.stage('train');
  await mkdir(join(staging.path, 'sub'));
  await writeFile(join(staging.path, 'model.onnx'), Buffer.alloc(20_000, String(n % 7)));
  await writeFile(join(staging.path, 'sub', 'n.txt'), String(n % 7));
  const { digest } = await staging.commit({
    stage: 'train',
    kind: 'model',
    name: 'test',
    seed: n % 7,
    inputs: {},
    options: digestOf({}),
    key: {},
    toolchain: {},
    metrics: { n: n % 7 },
  });
  const parts = { seed: n % 7 };
  await store.record({
    stage: 'train',
    digest,
    key: digestOf(parts),
    parts,
    measured: {},
    notes: [],
    finishedAt: new Date().toISOString(),
    seconds: 0,
  });
  if (n % 5 === 4) await store.prune(2);
  process.stdout.write('.');
}
