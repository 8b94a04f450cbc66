import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flowers, lookup, makeShelf, type Shelf } from '../releases.js';
import { start, type Served } from '../start.js';

let shelf: Shelf;
let releases: string[];
let server: Served;
let direct: Served;
const options = { workers: 2, maxBatchSize: 8 } as const;
beforeAll(async () => {
  shelf = await makeShelf();
  releases = [await shelf.add(flowers()), await shelf.add(flowers({ bias: 2 }))];
  server = await start(releases[0]!, { options });
  direct = await start(releases[0]!, { options: { workers: 0, maxBatchSize: 1 } });
});
afterAll(async () => {
  await Promise.all([server.stop(), direct.stop()]);
  await shelf.remove();
});

interface Answer {
  probabilities: Record<string, number>;
}
type Row = Record<string, unknown>;
const ask = async (to: Served, rows: readonly Row[]): Promise<Answer[]> =>
  (await (await to.post('/predict', rows)).json()) as Answer[];
const rowsOf = (answers: readonly Answer[]): number[][] =>
  answers.map(({ probabilities }) => Object.values(probabilities).map((value) => Math.round(value * 1e5)));

describe('a server with workers', () => {
  it('says so, and is ready', async () => {
    expect(server.events[0]).toMatchObject({
      event: 'note',
      text: expect.stringContaining('runs in 2 worker threads') as string,
    });
    expect((await server.get('/v2/health/ready')).status).toBe(200);
    expect((await server.get('/v2/health/live')).status).toBe(200);
  });

  it('gives every caller what an unbatched run in the same thread gives', async () => {
    const value = fc.integer({ min: -1000, max: 1000 }).map((number) => number / 100);
    const row = fc.record({ height: value, width: value, colour: fc.constantFrom('red', 'white', 'blue') });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(row, { minLength: 1, maxLength: 5 }), { maxLength: 24 }),
        async (all) => {
          const together = await Promise.all(all.map((rows) => ask(server, rows)));
          for (const [index, rows] of all.entries()) {
            expect(rowsOf(together[index]!)).toEqual(rowsOf(await ask(direct, rows)));
          }
        },
      ),
      { numRuns: 8, seed: 7 },
    );
    const metrics = await (await server.get('/metrics')).text();
    expect(metrics).toContain('maas_workers_lost_total 0');
    const count = (name: string): number =>
      Number(new RegExp(`^${name}\\{.*} (\\d+)$`, 'm').exec(metrics)![1]);
    expect(count('maas_batch_rows_sum')).toBeGreaterThan(count('maas_batch_rows_count'));
  });

  it('fails only the request at fault', async () => {
    const lookups = await start(await shelf.add(lookup()), { options });
    const indices = [0, 99, 1, 2, 99, 3];
    const answers = await Promise.all(indices.map((index) => lookups.post('/predict', { index })));
    expect(answers.map(({ status }) => status)).toEqual([200, 500, 200, 200, 500, 200]);
    expect(await answers[3]!.json()).toEqual({ prediction: 30 });
    await lookups.stop();
  });

  it('loses nothing while releases are switched and when it is stopped', async () => {
    await shelf.point(releases[0]!);
    const follower = await start(shelf.link, { follow: true, options });
    const failures: unknown[] = [];
    let answered = 0;
    const client = async (): Promise<void> => {
      for (;;) {
        try {
          const response = await follower.post('/predict', { height: 1, width: 2, colour: 'red' });
          if (response.status === 200) answered++;
          else failures.push(await response.text());
        } catch (error) {
          const { code } = ((error as Error).cause ?? {}) as { code?: string };
          if (code === 'ECONNREFUSED') return;
          failures.push(error);
        }
      }
    };
    const clients = Array.from({ length: 6 }, client);
    for (const folder of [releases[1]!, releases[0]!, releases[1]!]) {
      await shelf.point(folder);
      while (follower.digest !== folder.slice(-64)) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await follower.stop();
    await Promise.all(clients);
    expect(failures).toEqual([]);
    expect(answered).toBeGreaterThan(10);
  });
});
