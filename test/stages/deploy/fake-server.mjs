// Stands in for `maas serve`: answers golden rows from golden.json, and misbehaves in one chosen way.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

const option = (name) => process.argv[process.argv.indexOf(name) + 1];
const release = option('--release');
const mode = process.argv.includes('--mode') ? option('--mode') : 'good';
const read = (file) => readFileSync(join(release, file));
const golden = JSON.parse(read('golden.json'));
const labels = JSON.parse(read('signature.json')).target.labels;
const digest =
  mode === 'other-digest' ? '0'.repeat(64) : createHash('sha256').update(read('manifest.json')).digest('hex');

if (mode === 'dies') {
  process.stderr.write('the model is broken\n');
  process.exit(4);
}
if (mode === 'deaf') process.on('SIGTERM', () => undefined);
else process.on('SIGTERM', () => process.exit(mode === 'unclean' ? 1 : 0));
if (mode === 'silent') setTimeout(() => undefined, 60_000);
else createServer(respond).listen(0, '127.0.0.1', announce);

function announce() {
  const url = `http://127.0.0.1:${this.address().port}`;
  process.stdout.write(
    `not an event\n${JSON.stringify({ event: 'serving', url, model: 'things', digest })}\n`,
  );
}

let asked = 0;
async function respond(request, response) {
  let body = '';
  for await (const chunk of request) body += chunk;
  if (mode === 'slow' && request.url.endsWith('/infer')) await new Promise((done) => setTimeout(done, 20));
  const [status, answer] = answerTo(request.url, body && JSON.parse(body));
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
}

function answerTo(url, body) {
  if (url === '/v2/health/ready') return [mode === 'never-ready' || ++asked < 3 ? 503 : 200, {}];
  if (url === '/v2/models/things') return [200, { name: 'things', versions: [digest] }];
  if (url === '/v2/models/things/infer') return [200, infer(body)];
  if (mode === 'crash') process.exit(3);
  if (mode === 'refuses') return [400, { error: 'unknown field' }];
  return [200, predict(body)];
}

function infer({ inputs }) {
  const row = golden.rows.findIndex((_, index) =>
    inputs.every(({ name, data }) => slice(golden.inputs[name], index).join() === data.join()),
  );
  const outputs = Object.entries(golden.outputs).map(([name, array]) => ({
    name,
    shape: [1, ...array.dims.slice(1)],
    data: spoil(name, row, slice(array, row)),
  }));
  return { model_name: 'things', model_version: digest, outputs };
}

function predict(raw) {
  const row = golden.rows.findIndex((candidate) => JSON.stringify(candidate) === JSON.stringify(raw));
  const probabilities = slice(golden.outputs.probabilities, row);
  const label = mode === 'wrong-label' && row === 2 ? 'nonsense' : golden.outputs.label.data[row];
  return {
    label,
    probabilities: Object.fromEntries(labels.map((name, index) => [name, probabilities[index]])),
  };
}

function spoil(name, row, data) {
  if (mode === 'wrong' && name === 'probabilities' && row === 1) return data.map((value) => value + 0.01);
  return data;
}

function slice({ dims, data }, row) {
  const width = data.length / dims[0];
  return data.slice(row * width, (row + 1) * width);
}
