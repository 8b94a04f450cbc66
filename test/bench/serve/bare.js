// The limit of the runtime: bare `session.run` with no server around it, at each batch size, on so many cores in each of
// the ways to use them. One line of JSON a message.
import { availableParallelism } from 'node:os';
import { performance } from 'node:perf_hooks';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { models, randomNumbers } from './models.js';

process.env.ORT_DISABLE_TELEMETRY ??= '1';
const { default: ort } = await import('onnxruntime-node');

const options = (threads) => ({
  intraOpNumThreads: threads,
  interOpNumThreads: 1,
  enableMemPattern: false,
  extra: { session: { intra_op: { allow_spinning: '1', spin_duration_us: '50' } } },
});

function feedsOf(model, rows) {
  const { name, datatype, shape, data } = models[model].row(rows, randomNumbers(3));
  return { [name]: new ort.Tensor(datatype === 'INT64' ? 'int64' : 'float32', data, shape) };
}

/** Runs for some seconds; returns how many there were and how long each took, in milliseconds. */
async function repeat(session, feeds, seconds) {
  const times = [];
  const start = performance.now();
  for (let last = start; last - start < seconds * 1000;) {
    await session.run(feeds);
    const now = performance.now();
    times.push(now - last);
    last = now;
  }
  return { times, seconds: (performance.now() - start) / 1000 };
}

if (isMainThread) {
  process.on('message', async ({ path, model, seconds, best: known }) => {
    if (known) {
      process.send({ served: await together({ ...known, path, model, seconds }) });
      return;
    }
    const cores = availableParallelism();
    const ways = [{ workers: 1, threads: 1 }];
    if (cores > 1) ways.push({ workers: 1, threads: cores }, { workers: cores, threads: 1 });
    let best = { served: 0 };
    for (const way of ways) {
      for (const rows of [1, 4, 16, 64, 256]) {
        const served = await together({ path, model, rows, seconds, ...way });
        if (served > best.served) best = { served, rows, ...way };
      }
    }
    const session = await ort.InferenceSession.create(path, options(1));
    const feeds = feedsOf(model, 1);
    await repeat(session, feeds, 0.2);
    const times = Float64Array.from((await repeat(session, feeds, seconds)).times).sort();
    const at = (share) => times[Math.min(times.length - 1, Math.floor(share * times.length))];
    process.send({ ...best, p50: at(0.5), p99: at(0.99) });
  });
} else {
  const { path, model, rows, seconds, threads } = workerData;
  const session = await ort.InferenceSession.create(path, options(threads));
  const feeds = feedsOf(model, rows);
  await session.run(feeds);
  parentPort.postMessage('ready');
  parentPort.once('message', async () => {
    const { times, seconds: took } = await repeat(session, feeds, seconds);
    await session.release();
    parentPort.postMessage((times.length * rows) / took);
    parentPort.close();
  });
}

/** Rows a second of several sessions side by side, each in a thread of its own. */
async function together({ workers, ...order }) {
  const threads = Array.from(
    { length: workers },
    () => new Worker(new URL(import.meta.url), { workerData: order }),
  );
  const message = (worker) =>
    new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  await Promise.all(threads.map(message));
  const results = threads.map(message);
  for (const worker of threads) worker.postMessage('go');
  return (await Promise.all(results)).reduce((sum, served) => sum + served, 0);
}
