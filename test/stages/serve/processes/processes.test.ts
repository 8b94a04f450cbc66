import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Caller } from '../traffic/caller.js';
import { randomFrom } from '../traffic/subjects.js';
import { writeInfer } from '../traffic/tensors.js';
import { inferences, isAlive, makeFolder, startGroup, subject } from './group.js';

let folder: string;
beforeAll(async () => {
  folder = await makeFolder();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const start = (args?: readonly string[]) => startGroup(folder, args);

/** Callers that ask one request after another until they are told to end, or nobody takes their connection. */
function load(port: number, callers: number) {
  let [ending, answered] = [false, 0];
  const failures: string[] = [];
  const converse = async (index: number): Promise<void> => {
    const random = randomFrom(index);
    const caller = new Caller(() => port);
    while (!ending) {
      try {
        const { status } = await caller.ask(writeInfer(subject.name, subject.draw(random), true));
        if (status === 200) answered++;
        else failures.push(String(status));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') break;
        failures.push(String(error));
        caller.close();
      }
    }
    caller.close();
  };
  const work = Promise.all(Array.from({ length: callers }, (_, index) => converse(index)));
  return {
    failures,
    answered: () => answered,
    ended: work,
    end: () => {
      ending = true;
      return work;
    },
  };
}

describe('serve.processes', () => {
  it('serves in two processes as in one: an event, a port, a count of all', async () => {
    const server = await start();
    expect(server.parts).toHaveLength(2);
    const traffic = load(server.port, 8);
    await expect.poll(traffic.answered, { timeout: 10_000 }).toBeGreaterThan(500);
    await traffic.end();
    expect(traffic.failures).toEqual([]);
    for (let time = 0; time < 4; time++) {
      expect(inferences((await server.ask('/metrics')).text)).toBe(traffic.answered());
      expect((await server.ask('/v2/health/ready')).text).toBe('{"ready":true}');
    }
    expect(server.events.filter(({ event }) => event === 'serving')).toHaveLength(1);
    expect(server.events.filter(({ event }) => event === 'note')).toHaveLength(1);
    expect(await server.stop()).toBe(0);
    expect(server.parts.filter(isAlive)).toEqual([]);
  });

  it('answers all that it was asked when it is stopped', async () => {
    const server = await start();
    const traffic = load(server.port, 32);
    await expect.poll(traffic.answered, { timeout: 10_000 }).toBeGreaterThan(500);
    expect(await server.stop()).toBe(0);
    await traffic.ended;
    expect(traffic.failures).toEqual([]);
  });

  it('loses no more than what a process that dies was asked, and has another take its place', async () => {
    const server = await start();
    const callers = 16;
    const traffic = load(server.port, callers);
    await expect.poll(traffic.answered, { timeout: 10_000 }).toBeGreaterThan(500);
    const counted = inferences((await server.ask('/metrics')).text);
    process.kill(server.parts[0]!, 'SIGKILL');
    await expect.poll(async () => (await server.ask('/v2/health/ready')).status).toBe(503);
    await expect
      .poll(async () => (await server.ask('/v2/health/ready')).status, { timeout: 10_000 })
      .toBe(200);
    expect(traffic.failures.length).toBeLessThanOrEqual(callers / 2);
    // Callers kept to the process that was left; who comes now is given to the other.
    const late = load(server.port, callers / 2);
    await expect.poll(late.answered, { timeout: 10_000 }).toBeGreaterThan(500);
    process.kill(server.parts[1]!, 'SIGKILL');
    await expect
      .poll(async () => (await server.ask('/v2/health/ready')).status, { timeout: 10_000 })
      .toBe(503);
    await late.end();
    expect(late.failures).toEqual([]);
    const before = traffic.answered();
    await expect.poll(traffic.answered, { timeout: 10_000 }).toBeGreaterThan(before + 500);
    await traffic.end();
    // Nothing that was counted once is lost.
    expect(inferences((await server.ask('/metrics')).text)).toBeGreaterThan(counted);
    const { text } = (await server.next(({ event }) => event === 'warning'))! as unknown as { text: string };
    expect(text).toBe('a serving process ended (SIGKILL): another takes its place');
    expect(await server.stop()).toBe(0);
  });

  it('loses nothing where one of them is told to stop', async () => {
    const server = await start();
    const traffic = load(server.port, 16);
    await expect.poll(traffic.answered, { timeout: 10_000 }).toBeGreaterThan(500);
    process.kill(server.parts[0]!, 'SIGTERM');
    await server.next(({ event }) => event === 'warning');
    await traffic.end();
    expect(traffic.failures).toEqual([]);
    expect(inferences((await server.ask('/metrics')).text)).toBe(traffic.answered());
    expect(await server.stop()).toBe(0);
  });

  it('loads and unloads models in all, and in those that come later', async () => {
    const server = await start(['--models', 'models']);
    const order = (verb: string) => server.ask(`/v2/repository/models/${subject.name}/${verb}`, 'POST');
    const states = async (): Promise<number[]> => {
      const all: number[] = [];
      for (let time = 0; time < 4; time++)
        all.push((await server.ask(`/v2/models/${subject.name}/ready`)).status);
      return [...new Set(all)];
    };
    expect(await states()).toEqual([200]);
    expect((await order('unload')).status).toBe(200);
    const [gone] = await states();
    expect(gone).toBeGreaterThanOrEqual(400);
    expect(await states()).toEqual([gone]);
    process.kill(server.parts[1]!, 'SIGKILL');
    await expect.poll(async () => (await server.ask('/v2/health/ready')).status).toBe(503);
    await expect
      .poll(async () => (await server.ask('/v2/health/ready')).status, { timeout: 10_000 })
      .toBe(200);
    expect(await states()).toEqual([gone]);
    expect((await order('load')).status).toBe(200);
    expect(await states()).toEqual([200]);
    const unknown = await server.ask('/v2/repository/models/nothing/unload', 'POST');
    expect(unknown.status).toBe(404);
    expect(unknown.text).toBe('{"error":"there is no model nothing"}');
    expect(await server.stop()).toBe(0);
  });

  it('goes over to a new model in all, and says so once', async () => {
    const server = await start();
    const random = randomFrom(1);
    const row = writeInfer(subject.name, subject.draw(random), false);
    const answers = async (): Promise<string[]> => {
      const all = new Set<string>();
      for (let time = 0; time < 6; time++) {
        const caller = new Caller(() => server.port);
        all.add((await caller.ask(row)).body.toString());
        caller.close();
      }
      return [...all];
    };
    const before = await answers();
    expect(before).toHaveLength(1);
    const draft = join(folder, 'draft');
    await writeFile(draft, subject.models[1]);
    await rename(draft, join(folder, `${subject.name}.onnx`));
    const count = (): number => server.events.filter(({ event }) => event === 'serving').length;
    await expect.poll(count, { timeout: 10_000 }).toBe(2);
    const after = await answers();
    expect(after).toHaveLength(1);
    expect(after).not.toEqual(before);
    expect((await server.ask('/metrics')).text).toContain('maas_reloads_total{result="done"} 1');
    expect(count()).toBe(2);
    expect(await server.stop()).toBe(0);
  });
});
