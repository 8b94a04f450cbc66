// Our side of `npm run bench:compress`: node subject.js MODEL BATCHES OUT PASSES. Prints {seconds, bytes}; the time is that of
// reading, rewriting and writing, without the start of the process.
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { compress, loadModel, loadRuntime, saveModel } from '../../../dist/internals/benches.js';
import { readBatches } from './batches.js';

const [path, batches, out, passes] = process.argv.slice(2);
const known = new Map(
  Object.values(compress)
    .flat()
    .filter((each) => each?.run && each.name)
    .map((pass) => [pass.name, pass]),
);
const feeds = readBatches(readFileSync(batches, 'utf8'));
const context = { seed: 1, calibration: () => Promise.resolve(feeds) };
await loadRuntime();
const started = performance.now();
let model = await loadModel(path);
for (const [name, options = {}] of JSON.parse(passes)) {
  const pass = known.get(name);
  model = (await pass.run(model, pass.options.parse(options), context)).model;
}
await saveModel(model, out);
const seconds = (performance.now() - started) / 1000;
process.stdout.write(JSON.stringify({ seconds, bytes: process.resourceUsage().maxRSS * 1024 }));
