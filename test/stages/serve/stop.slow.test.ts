import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { serve, type Server } from '../../e2e/maas.js';
import { Caller } from './traffic/caller.js';
import { randomFrom, subjects } from './traffic/subjects.js';
import { readInferred, writeInfer } from './traffic/tensors.js';

/** `MAAS_REQUESTS` makes a shorter or a longer test of it. */
const requests = Number(process.env['MAAS_REQUESTS'] ?? 100_000);
const timeout = 120_000 + 2 * requests;
const subject = subjects.find(({ name }) => name === 'perceptron')!;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'maas-stop-'));
  const config =
    'name: garden\ndata: { source: none.csv, target: y }\ntrain: { model: { layers: [{ dense: { units: 1 } }] } }\n';
  await writeFile(join(folder, 'maas.config.yaml'), config);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function publish(version: number): Promise<void> {
  const home = join(folder, 'models', subject.name);
  const draft = join(home, `.${version}`);
  await mkdir(draft, { recursive: true });
  await writeFile(join(draft, 'model.onnx'), subject.models[version % 2 === 0 ? 0 : 1]);
  await rename(draft, join(home, String(version)));
  if (version > 1) await rm(join(home, String(version - 2)), { recursive: true });
}

/**
 * As behind a load balancer: one server takes the place of another, again and again, while models change. Callers keep
 * their connections, and go on to the next server when one says that it closes theirs. Not one request may fail.
 */
it.each([1, 2])(
  'loses no request when servers of %i processes are stopped and models change under load',
  { timeout },
  async (processes) => {
    await rm(join(folder, 'models'), { recursive: true, force: true });
    await publish(0);
    const args = ['--models', 'models', '--set', `serve.processes=${processes}`];
    const start = async (): Promise<Server> => serve(folder, args);
    const portOf = ({ url }: Server): number => Number(new URL(url).port);
    const isReady = async ({ url }: Server): Promise<void> => {
      while (!(await fetch(`${url}/v2/health/ready`)).ok)
        await new Promise((resolve) => setTimeout(resolve, 20));
    };
    let current = await start();
    await isReady(current);
    let left = requests;
    let answered = 0;
    const failures: string[] = [];
    const versions = new Set<string>();
    const converse = async (index: number): Promise<void> => {
      const random = randomFrom(index);
      const caller = new Caller(() => portOf(current));
      while (left-- > 0 && failures.length < 10) {
        const bytes = writeInfer(subject.name, subject.draw(random), true);
        try {
          const answer = await caller.ask(bytes);
          if (answer.status === 200) {
            answered++;
            versions.add(readInferred(answer).version);
          } else failures.push(`${answer.status} ${answer.body.toString()}`);
        } catch (error) {
          failures.push(String(error));
        }
      }
      caller.close();
    };
    const traffic = Promise.all(Array.from({ length: 32 }, (_, index) => converse(index)));
    let ended = false;
    void traffic.then(() => (ended = true));

    const codes: unknown[] = [];
    for (let version = 1; !ended; version++) {
      await publish(version);
      await new Promise((resolve) => setTimeout(resolve, 1500));
      const before = current;
      const next = await start();
      await isReady(next);
      current = next;
      codes.push((await before.stop()).code);
    }
    await traffic;
    codes.push((await current.stop()).code);
    expect(failures).toEqual([]);
    expect(answered).toBe(requests);
    expect(new Set(codes)).toEqual(new Set([0]));
    expect(codes.length).toBeGreaterThan(1);
    expect(versions.size).toBeGreaterThan(1);
    console.log(
      `${answered} requests, ${codes.length} servers stopped, ${versions.size} versions: none failed`,
    );
  },
);
