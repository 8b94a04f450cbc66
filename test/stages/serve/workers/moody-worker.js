// A worker that speaks the real one's messages and does as the first number of its input says: 13 dies, 99 hangs for
// half a second, 500 fails, anything else comes back doubled.
import { parentPort } from 'node:worker_threads';

const carryOut = {
  open: ({ id, model }) =>
    model === 'broken'
      ? { id, failed: { message: 'this model is broken', code: 'MAAS_MODEL_INVALID' } }
      : { id, session: id },
  run({ id, feeds, lent }) {
    const { dims, data } = feeds.x;
    if (data[0] === 13) throw new Error('out of luck');
    if (data[0] === 99) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    if (data[0] === 500) return { id, failed: { message: 'cannot' } };
    const arrays = { y: { dtype: 'float32', dims, data: data.map((value) => value * 2) } };
    return { id, arrays, ...(lent && { returned: feeds }) };
  },
};

parentPort.on('message', (order) => {
  if (order.do === 'close') parentPort.close();
  else parentPort.postMessage(carryOut[order.do](order));
});
