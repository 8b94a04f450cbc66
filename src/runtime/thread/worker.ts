// What a session thread does: holds sessions and tensors, and carries out one order after another. The thread that
// started it never ends it by force: onnxruntime aborts the whole process when a thread goes away inside a run.
import { MessageChannel, parentPort } from 'node:worker_threads';
import { MaasError } from '../../errors.js';
import type { NdArray } from '../../ir/tensor.js';
import { openSession, type Session } from '../session.js';
import { buffersOf, packArrays, type Order, type Report, type RunOptions } from './messages.js';

const port = parentPort!;
const sessions = new Map<number, Session>();
const kept = new Map<string, NdArray>();
const bin = new MessageChannel().port1;
bin.close();

/**
 * Keeps a tensor in the place of another, whose memory is free at once: what is posted to a closed port goes. Left to
 * the garbage collector, several generations of heavy weights would lie about.
 */
function keepTensor(name: string, array: NdArray): void {
  const before = kept.get(name)?.data;
  kept.set(name, array);
  if (ArrayBuffer.isView(before)) bin.postMessage(null, [before.buffer as ArrayBuffer]);
}

async function run(session: Session, feeds: Order & { do: 'run' }): Promise<void> {
  const { id, lent, options } = feeds;
  const { fetches, use = {}, keep = {} } = options;
  const inputs: Record<string, NdArray> = { ...feeds.feeds };
  for (const [input, name] of Object.entries(use)) inputs[input] = kept.get(name)!;
  const outputs = await session.run(inputs, wanted(fetches, keep));
  for (const [output, name] of Object.entries(keep)) {
    keepTensor(name, outputs[output]!);
    Reflect.deleteProperty(outputs, output);
  }
  const { packed, transfer } = packArrays(outputs, true);
  if (!lent) report({ id, arrays: packed }, transfer);
  else report({ id, arrays: packed, returned: feeds.feeds }, [...transfer, ...buffersOf(feeds.feeds)]);
}

function wanted(fetches: RunOptions['fetches'], keep: NonNullable<RunOptions['keep']>): string[] | undefined {
  return fetches && [...fetches, ...Object.keys(keep)];
}

async function carryOut(order: Order): Promise<void> {
  switch (order.do) {
    case 'open': {
      const session = await openSession(order.model, order.options);
      sessions.set(order.id, session);
      report({ id: order.id, session: order.id, slots: session.slots });
      return;
    }
    case 'run':
      return run(sessions.get(order.session)!, order);
    case 'put':
      for (const [name, array] of Object.entries(order.tensors)) keepTensor(name, array);
      report({ id: order.id, arrays: {} });
      return;
    case 'read':
      report({
        id: order.id,
        arrays: Object.fromEntries(order.names.map((name) => [name, kept.get(name)!])),
      });
      return;
    case 'release':
      await sessions.get(order.session)?.close();
      sessions.delete(order.session);
      report({ id: order.id, arrays: {} });
      return;
    case 'close':
      for (const session of sessions.values()) await session.close();
      port.close();
  }
}

function report(message: Report, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

let last: Promise<void> = Promise.resolve();
port.on('message', (order: Order) => {
  last = last.then(() =>
    carryOut(order).catch((error: unknown) => {
      const { message } = error as Error;
      report({
        id: order.id,
        failed: { message, code: error instanceof MaasError ? error.code : undefined },
      });
    }),
  );
});
