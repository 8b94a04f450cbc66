// The client of `npm run bench:serve`, a process of its own: so many connections, each with one request after another.
// Reads orders from its parent, one message each, and answers with figures.
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import { makeRequests } from './requests.js';

process.on('message', async (order) => {
  try {
    process.send(await measure(order));
  } catch (error) {
    process.send({ failed: error.message });
  }
});

/** Answers that are counted at least, however long they take: a few large requests may last longer than the time that is set. */
const fewest = 4;
/** In seconds; who answers nothing for so long is given up. */
const longest = 60;

async function measure({ port, concurrency, seconds, warmUp, rows, ...what }) {
  const requests = makeRequests({ rows, ...what });
  const times = [];
  let [failures, first, counting, bytes] = [0, '', false, 0];
  let stop = false;
  let onAnswered;
  const connections = Array.from({ length: concurrency }, (_, index) =>
    converse(port, {
      next: (turn) => requests[(index * 7 + turn) % requests.length],
      more: () => !stop,
      onAnswer(status, length, time, text) {
        bytes = length;
        if (status !== 200) {
          failures++;
          first ||= text();
        } else if (counting) times.push(time);
        onAnswered?.();
      },
    }),
  );
  const all = Promise.all(connections);
  const sleep = (duration) => new Promise((resolve) => setTimeout(resolve, duration * 1000).unref());
  /** Both begin and end with an answer, so that few of them give the right rate, too. */
  const untilAnswered = async (answers) => {
    for (let left = answers; left > 0; left--) await new Promise((resolve) => (onAnswered = resolve));
  };
  const within = (...work) => Promise.race([all, sleep(longest), ...work]);
  await within(sleep(warmUp).then(() => untilAnswered(1)));
  counting = true;
  const start = performance.now();
  await within(sleep(seconds).then(() => untilAnswered(Math.max(1, fewest - times.length))));
  const elapsed = (performance.now() - start) / 1000;
  counting = false;
  const count = times.length;
  stop = true;
  await all;
  if (failures > 0 || count === 0) throw new Error(`${failures} requests failed: ${first.slice(0, 300)}`);
  const sorted = Float64Array.from(times).sort();
  const at = (share) => sorted[Math.min(count - 1, Math.floor(share * count))];
  return {
    served: (count * rows) / elapsed,
    p50: at(0.5),
    p99: at(0.99),
    requests: count,
    answerBytes: bytes,
  };
}

/** One connection. Resolves when there is no more to ask. */
function converse(port, { next, more, onAnswer }) {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let [held, turn, start] = [Buffer.alloc(0), 0, 0];
    const ask = () => {
      start = performance.now();
      socket.write(next(turn++));
    };
    socket.once('connect', ask);
    socket.on('data', (chunk) => {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      const end = held.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = held.latin1Slice(0, end).toLowerCase();
      const match = /content-length: *(\d+)/.exec(head);
      if (!match) {
        socket.destroy(new Error('an answer without a length'));
        return;
      }
      const whole = end + 4 + Number(match[1]);
      if (held.length < whole) return;
      const answer = held;
      held = Buffer.alloc(0);
      onAnswer(Number(head.slice(9, 12)), Number(match[1]), performance.now() - start, () =>
        answer.toString('utf8', end + 4),
      );
      if (more()) ask();
      else socket.end();
    });
    socket.once('error', reject);
    socket.once('close', () => resolve());
  });
}
