// The process of `measurePeakMemory`: loads one model, runs it, and tells what that took.
import { loadRuntime } from './load.js';
import type { MemoryOrder } from './peak-memory.js';
import { openSession } from './session.js';

const kilobyte = 1024;

process.once('message', (order: MemoryOrder) => {
  void measure(order).then(
    (bytes) => process.send!({ bytes }),
    (error: unknown) => process.send!({ failed: error instanceof Error ? error.message : String(error) }),
  );
});

async function measure({ path, requests }: MemoryOrder): Promise<number> {
  // The library itself is there with any model.
  await loadRuntime();
  const before = process.memoryUsage().rss;
  const session = await openSession(path);
  // Twice: the first run of a shape only learns how much room it takes.
  for (const feeds of [...requests, ...requests]) await session.run(feeds);
  return process.resourceUsage().maxRSS * kilobyte - before;
}
