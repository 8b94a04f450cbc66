// A worker that speaks the real one's messages and does as the first number of its input says: 13 dies, 99 hangs for
// half a second, 500 fails, anything else comes back doubled.
import { parentPort, workerData } from 'node:worker_threads';

if (workerData.model === 'broken') {
  parentPort.postMessage({ refused: 'this model is broken' });
  parentPort.close();
} else {
  parentPort.on('message', (order) => {
    if (order.close) return parentPort.close();
    const { dims, data } = order.run.x;
    if (data[0] === 13) throw new Error('out of luck');
    if (data[0] === 99) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    if (data[0] === 500) return parentPort.postMessage({ failed: 'cannot' });
    const y = { dtype: 'float32', dims, data: data.map((value) => value * 2) };
    parentPort.postMessage({ outputs: { y } });
  });
  parentPort.postMessage({ opened: true });
}
