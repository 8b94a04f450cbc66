// The models of `npm run bench:compress`: those that maas trains here, and those that packages carry.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchFile, makeFeeds } from './inputs.js';

const command = fileURLToPath(new URL('../../../bin/run.js', import.meta.url));
/** Built by the time that a model is opened. */
const load = () => import('../../../dist/internals/benches.js');

/** Its file, rows to calibrate on, and what it loses on the test rows. */
export async function openTrained(name, spec, folder, data) {
  const { dataSchema, gatherRows, loadDataset, predict, readSignature, requestsOf, score } = await load();
  const root = join(folder, name);
  mkdirSync(root, { recursive: true });
  if (spec.file) copyFileSync(join(resolve(data), spec.file), join(root, spec.file));
  const config = JSON.stringify({ name, seed: 1, data: spec.data, train: spec.train });
  writeFileSync(join(root, 'maas.config.yaml'), config);
  const args = [command, 'train', '--json', '--quiet'];
  const { artifact } = JSON.parse(execFileSync(process.execPath, args, { cwd: root, maxBuffer: 2 ** 28 }));
  const path = join(root, '.maas', 'model.onnx');
  copyFileSync(join(artifact, 'model.onnx'), path);
  const signature = await readSignature(join(artifact, 'signature.json'));
  const { splits } = await loadDataset(dataSchema.parse(spec.data), { root, seed: 1, name });
  const rows = Array.from({ length: Math.min(256, splits.validation.rows) }, (_, row) => row);
  const feeds = [];
  for (let at = 0; at < rows.length; at += 32)
    feeds.push(gatherRows(splits.validation.inputs, rows.slice(at, at + 32)));
  const lossOf = async (file) =>
    score(await predict(file, splits.test, signature), splits.test, signature).logLoss;
  const before = await lossOf(path);
  return {
    path,
    feeds,
    metric: 'logLoss',
    requests: requestsOf(splits.test),
    loseOf: async (file) => (await lossOf(file)) - before,
  };
}

/** A file from a package; what it loses is the root mean square of what changed in its outputs, as a share of them. */
export async function openCarried(name, { package: source, file, inputs }, folder) {
  const { openSession, signalToNoise } = await load();
  const path = fetchFile(source, file, join(folder, 'carried', file.replaceAll('/', '_')));
  const feeds = await makeFeeds(inputs, 16, 3, folder);
  const judged = await makeFeeds(inputs, 8, 4, folder);
  const answersOf = async (model) => {
    const session = await openSession(model);
    const answers = [];
    for (const each of judged) answers.push(...Object.values(await session.run(each)));
    await session.close();
    return answers.filter(({ dtype }) => dtype === 'float32').flatMap(({ data }) => Array.from(data));
  };
  const before = await answersOf(path);
  const loseOf = async (model) => 10 ** (-signalToNoise(before, await answersOf(model)) / 20);
  const batch = Object.values(judged[0])[0].dims[0] ?? 1;
  return { path, feeds, metric: 'relativeError', requests: [{ batch, feeds: judged[0] }], loseOf };
}
