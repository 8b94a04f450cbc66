import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { credentials, makeGenericClientConstructor } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { GraphBuilder } from '../../../../src/ir/builder.js';
import { encodeModel } from '../../../../src/ir/onnx/save.js';
import { tensor } from '../../../../src/ir/tensor.js';
import { openSession } from '../../../../src/runtime/session.js';
import { defineGrpcService } from '../../../../src/stages/serve/grpc/definition.js';
import {
  Health as HealthService,
  HealthCheckRequestSchema,
} from '../../../../src/stages/serve/grpc/health.generated.js';
import { maas } from '../../../e2e/maas.js';
import { Caller } from '../traffic/caller.js';
import { randomFrom } from '../traffic/subjects.js';
import { readInferred, writeInfer } from '../traffic/tensors.js';
import { childrenOf, inferences, isAlive, makeFolder, startGroup, subject } from './group.js';

let folder: string;
beforeAll(async () => {
  folder = await makeFolder();
  await writeFile(join(folder, 'broken.onnx'), 'no model');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** `MAAS_REQUESTS` makes a shorter or a longer test of it. */
const requests = Number(process.env['MAAS_REQUESTS'] ?? 100_000);

function isNear(got: ArrayLike<unknown> | undefined, right: ArrayLike<unknown>): boolean {
  if (got?.length !== right.length) return false;
  for (let at = 0; at < right.length; at++)
    if (!(Math.abs(Number(got[at]) - Number(right[at])) < 1e-4)) return false;
  return true;
}

it('answers every request rightly while processes die', { timeout: 120_000 + 2 * requests }, async () => {
  const session = await openSession(subject.models[0]);
  const server = await startGroup(folder);
  const callers = 16;
  const failures: string[] = [];
  let [left, answered] = [requests, 0];
  const converse = async (index: number): Promise<void> => {
    const random = randomFrom(index);
    const feeds = Array.from({ length: 20 }, () => subject.draw(random));
    const expected = await Promise.all(feeds.map((each) => session.run(each)));
    const caller = new Caller(() => server.port);
    for (let turn = 0; left-- > 0; turn++) {
      const at = turn % feeds.length;
      try {
        const answer = await caller.ask(writeInfer(subject.name, feeds[at]!, turn % 2 === 0));
        if (answer.status !== 200) throw new Error(`${answer.status} ${answer.body.toString()}`);
        const { outputs } = readInferred(answer);
        const isRight = Object.entries(expected[at]!).every(([name, { data }]) =>
          isNear(outputs[name]?.data, data),
        );
        if (!isRight) throw new Error('another answer than the model gives');
        answered++;
      } catch (error) {
        failures.push(String(error));
        caller.close();
      }
    }
    caller.close();
  };
  let ended = false;
  const traffic = Promise.all(Array.from({ length: callers }, (_, index) => converse(index))).then(
    () => (ended = true),
  );
  let kills = 0;
  let counted = 0;
  while (!ended) {
    await wait(500);
    // Nothing that was counted once is lost.
    const count = inferences((await server.ask('/metrics')).text);
    expect(count).toBeGreaterThanOrEqual(counted);
    counted = count;
    const [first] = childrenOf(server.child.pid!);
    // One that dies again and again is left alone for longer and longer.
    if (kills === 8 || first === undefined || (await server.ask('/v2/health/ready')).status !== 200) continue;
    process.kill(first, 'SIGKILL');
    kills++;
  }
  await traffic;
  expect(answered).toBe(requests - failures.length);
  // What was under way in the one that died, and nothing else.
  expect(failures.filter((text) => !/closed|ECONNRESET|EPIPE/.test(text))).toEqual([]);
  expect(failures.length).toBeLessThanOrEqual(kills * callers);
  expect(kills).toBeGreaterThan(0);
  expect(await server.stop()).toBe(0);
  await session.close();
  console.log(`${answered} requests, ${kills} processes killed: ${failures.length} failed with them`);
});

it('ends as a process does that cannot start, where none can take the place of another', async () => {
  const path = join(folder, 'gone.onnx');
  await writeFile(path, subject.models[0]);
  const server = await startGroup(folder, ['gone.onnx']);
  await rm(path);
  process.kill(server.parts[0]!, 'SIGKILL');
  const { code, stderr } = await server.ended;
  const alone = await maas(folder, ['serve', 'gone.onnx', '--port', '0', '--set', 'serve.processes=1']);
  expect(alone.code).toBeGreaterThan(0);
  expect(code).toBe(alone.code);
  const told = alone.stderr.split('\n').find((line) => line.includes('gone.onnx'))!;
  expect(stderr.split(told)).toHaveLength(2);
});

it('prepares a model in one of them', { timeout: 60_000 }, async () => {
  const graph = new GraphBuilder('large');
  const [inputs, outputs] = [1024, 1280];
  const weights = Float32Array.from({ length: inputs * outputs }, (_, at) => Math.sin(at));
  const value = graph.op('MatMul', [
    graph.input('x', 'float32', ['N', inputs]),
    graph.constant(tensor('float32', [inputs, outputs], weights)),
  ]);
  graph.output(value, 'y');
  const rest = { irVersion: 10, opsets: { '': 20 }, producer: 'test', metadata: {} };
  await writeFile(join(folder, 'large.onnx'), encodeModel({ ...rest, graph: graph.build() }));
  const caches = await mkdtemp(join(tmpdir(), 'maas-caches-'));
  process.env['XDG_CACHE_HOME'] = caches;
  const server = await startGroup(folder, ['large.onnx']);
  const drafts = new Set<string>();
  let isOver = false;
  void server
    .next(({ event, text }) => event === 'note' && String(text).includes('is prepared'))
    .then(() => (isOver = true));
  while (!isOver) {
    const found = await readdir(caches, { recursive: true });
    // Of the process that makes it: HASH.PID.
    for (const name of found) if (/prepared\/\w+\.\d+$/.test(name)) drafts.add(name);
    await wait(1);
  }
  expect(drafts.size).toBe(1);
  expect(await server.stop()).toBe(0);
  delete process.env['XDG_CACHE_HOME'];
  await rm(caches, { recursive: true, force: true });
});

it('ends its processes where it is killed itself', async () => {
  const server = await startGroup(folder);
  server.child.kill('SIGKILL');
  await server.ended;
  await expect.poll(() => server.parts.filter(isAlive), { timeout: 10_000 }).toEqual([]);
});

it('answers gRPC on one port, too', async () => {
  const server = await startGroup(folder, [`${subject.name}.onnx`, '--grpc-port', '0']);
  const { grpc } = server.events.find(({ event }) => event === 'serving') as unknown as { grpc: string };
  const Health = makeGenericClientConstructor(defineGrpcService(HealthService), HealthService.typeName);
  const check = (): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const client = new Health(grpc, credentials.createInsecure(), {
        'grpc.use_local_subchannel_pool': 1,
      });
      const request = create(HealthCheckRequestSchema, {});
      (client as unknown as Record<'check', (...asked: unknown[]) => void>).check(
        request,
        (error: Error | null, answer: { status: number }) => {
          client.close();
          if (error) reject(error);
          else resolve(answer.status);
        },
      );
    });
  const serving = 1;
  for (let time = 0; time < 4; time++) expect(await check()).toBe(serving);
  expect(await server.stop()).toBe(0);
});

it('fails as one process does where the model cannot be served', async () => {
  const fail = async (processes: number) => {
    const { code, stderr } = await maas(folder, [
      'serve',
      'broken.onnx',
      '--port',
      '0',
      '--set',
      `serve.processes=${processes}`,
    ]);
    return { code, stderr };
  };
  const [one, two] = [await fail(1), await fail(2)];
  expect(one.code).toBe(2);
  expect(two).toEqual(one);
});
