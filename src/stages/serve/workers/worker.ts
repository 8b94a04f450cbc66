// What a worker thread does: opens the model, then runs it for one order after another. The thread that started it never
// ends it by force: onnxruntime aborts the whole process when a thread goes away inside a run.
import { parentPort, workerData } from 'node:worker_threads';
import { openSession } from '../../../runtime/session.js';
import { packArrays, type Order, type Report, type WorkerSetup } from './messages.js';

const port = parentPort!;
const { model, session: options, fetches } = workerData as WorkerSetup;

function report(message: Report, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

try {
  const session = await openSession(model, options);
  port.on('message', (order: Order) => {
    if ('close' in order) {
      void session.close().finally(() => {
        port.close();
      });
      return;
    }
    session.run(order.run, fetches).then(
      (outputs) => {
        const { packed, transfer } = packArrays(outputs, true);
        report({ outputs: packed }, transfer);
      },
      (error: unknown) => {
        report({ failed: (error as Error).message });
      },
    );
  });
  report({ opened: true });
} catch (error) {
  report({ refused: (error as Error).message });
  port.close();
}
