// The real worker, but mortal: its thread ends with one of its first few hundred orders, before the answer.
import { parentPort } from 'node:worker_threads';

await import(new URL('../../../../dist/runtime/thread/worker.js', import.meta.url));
let left = 20 + Math.floor(Math.random() * 400);
parentPort.on('message', () => {
  if (--left === 0) throw new Error('out of luck');
});
