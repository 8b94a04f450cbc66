// Our side of `npm run bench:compress`: node subject.js MODEL BATCHES OUT PASSES. Prints {seconds, work, bytes}: processor time of
// the process, less that of reading the bench's own batches; that of reading, rewriting and writing alone; peak memory.
import { readFileSync } from 'node:fs';
import { compress, loadModel, loadRuntime, saveModel } from '../../../dist/internals/benches.js';
import { readBatches } from './batches.js';

const [path, batches, out, passes] = process.argv.slice(2);
const known = new Map(
  Object.values(compress)
    .flat()
    .filter((each) => each?.run && each.name)
    .map((pass) => [pass.name, pass]),
);
const spent = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
const opened = spent();
const feeds = readBatches(readFileSync(batches, 'utf8'));
const reading = spent() - opened;
const context = { seed: 1, calibration: () => Promise.resolve(feeds) };
await loadRuntime();
const started = spent();
let model = await loadModel(path);
for (const [name, options = {}] of JSON.parse(passes)) {
  const pass = known.get(name);
  model = (await pass.run(model, pass.options.parse(options), context)).model;
}
await saveModel(model, out);
const seconds = spent();
// The maximum that getrusage tells begins with what the bench itself held when it started this process.
const bytes = Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
process.stdout.write(JSON.stringify({ seconds: seconds - reading, work: seconds - started, bytes }));
