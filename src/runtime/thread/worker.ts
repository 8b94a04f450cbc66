// What a session thread does: holds sessions and tensors, and carries out one order after another. The thread that
// started it never ends it by force: onnxruntime aborts the whole process when a thread goes away inside a run.
import { MessageChannel, parentPort } from 'node:worker_threads';
import { MaasError } from '../../errors.js';
import type { NdArray } from '../../ir/tensor.js';
import { loadRuntime } from '../load.js';
import { openSession, type Feeds, type Session } from '../session.js';
import { openBank, type Bank, type BankPlan } from './bank.js';
import { SlicedRuns } from './sliced-runs.js';
import { buffersOf, packArrays, type Order, type Report, type RunOptions } from './messages.js';

// Every thread needs it, and its first order may be a while in coming. What goes wrong is told with that.
loadRuntime().catch(() => undefined);

const port = parentPort!;
const sessions = new Map<number, Session>();
const sliced = new WeakMap<Session, SlicedRuns>();
const kept = new Map<string, NdArray>();
/** Each has the names of its tensors, which are among those that are kept. */
let banks: readonly Bank[] = [];
const bin = new MessageChannel().port1;
bin.close();

/**
 * Keeps a tensor in the place of another, whose memory is free at once: what is posted to a closed port goes. Left to
 * the garbage collector, several generations of heavy weights would lie about.
 */
function keepTensor(name: string, array: NdArray): void {
  const place = banks.find(({ tensors }) => tensors.has(name))?.tensors.get(name);
  if (place) {
    const given = array.data as Float32Array;
    (place.data as Float32Array).set(given);
    bin.postMessage(null, [given.buffer as ArrayBuffer]);
    return;
  }
  const before = kept.get(name)?.data;
  kept.set(name, array);
  if (ArrayBuffer.isView(before)) bin.postMessage(null, [before.buffer as ArrayBuffer]);
}

async function run(session: Session, feeds: Order & { do: 'run' }): Promise<void> {
  const { id, lent, options } = feeds;
  const { fetches, use = {}, keep = {}, apart = false } = options;
  const inputs: Record<string, NdArray> = { ...feeds.feeds };
  for (const [input, name] of Object.entries(use)) inputs[input] = kept.get(name)!;
  const outputs = await (apart ? sliced.get(session)! : session).run(inputs, wanted(fetches, keep));
  for (const [output, name] of Object.entries(keep)) {
    keepTensor(name, outputs[output]!);
    Reflect.deleteProperty(outputs, output);
  }
  const { packed, transfer } = packArrays(outputs, true);
  if (!lent) report({ id, arrays: packed }, transfer);
  else report({ id, arrays: packed, returned: feeds.feeds }, [...transfer, ...buffersOf(feeds.feeds)]);
}

function arrange(plans: readonly BankPlan[]): void {
  banks = plans.map(openBank);
  for (const { tensors } of banks) for (const [name, array] of tensors) kept.set(name, array);
}

/** What a number is before it is written: one that no computation gives, to see that it was. */
const unwritten = 0x7fed_cba9;

async function walk(session: Session, { id, feeds, walk }: Order & { do: 'walk' }): Promise<void> {
  const { count, tell } = walk;
  const numbers = new Float32Array(count);
  const told = kept.get(tell)!.data as Float32Array;
  const bits = new Uint32Array(told.buffer, told.byteOffset, 1);
  const fixed = Object.entries(walk.use).map(([input, name]) => [input, kept.get(name)!]);
  const into = Object.fromEntries(walk.into.map((name) => [name, kept.get(name)!]));
  const moves = Object.entries(walk.move).map((pair) =>
    pair.map((name) => kept.get(name)!.data as Float32Array),
  );
  for (let at = 0; at < count; at++) {
    const batch = Object.entries(feeds).map(([name, array]) => [name, partOf(array, at)]);
    bits[0] = unwritten;
    await session.runInto(Object.fromEntries([...fixed, ...batch]) as Feeds, into);
    if (bits[0] === unwritten) throw new Error('onnxruntime did not write its outputs');
    numbers[at] = told[0]!;
    for (const [from, to] of moves) to!.set(from!);
    for (const bank of banks) bank.run(walk.scalars[at]!);
  }
  const arrays: Feeds = { [tell]: { dtype: 'float32', dims: [count], data: numbers } };
  report({ id, arrays, returned: feeds }, [numbers.buffer, ...buffersOf(feeds)]);
}

/** One of the parts along the first axis. */
function partOf({ dtype, dims, data }: NdArray, at: number): NdArray {
  const size = data.length / dims[0]!;
  const [from, to] = [at * size, (at + 1) * size];
  // Texts are an array.
  const part = ArrayBuffer.isView(data) ? (data as Float32Array).subarray(from, to) : data.slice(from, to);
  return { dtype, dims: dims.slice(1), data: part };
}

function wanted(fetches: RunOptions['fetches'], keep: NonNullable<RunOptions['keep']>): string[] | undefined {
  return fetches && [...fetches, ...Object.keys(keep)];
}

async function carryOut(order: Order): Promise<void> {
  switch (order.do) {
    case 'open': {
      const session = await openSession(order.model, order.options);
      sessions.set(order.id, session);
      sliced.set(session, new SlicedRuns(session));
      report({ id: order.id, session: order.id, slots: session.slots });
      return;
    }
    case 'run':
      return run(sessions.get(order.session)!, order);
    case 'walk':
      return walk(sessions.get(order.session)!, order);
    case 'arrange':
      arrange(order.banks);
      report({ id: order.id, arrays: {} });
      return;
    case 'put':
      for (const [name, array] of Object.entries(order.tensors)) keepTensor(name, array);
      report({ id: order.id, arrays: {} });
      return;
    case 'read': {
      const found = Object.fromEntries(order.names.map((name) => [name, kept.get(name)!]));
      const { packed, transfer } = packArrays(found, false);
      report({ id: order.id, arrays: packed }, transfer);
      return;
    }
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
