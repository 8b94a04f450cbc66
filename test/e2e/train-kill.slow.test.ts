import { spawnSync } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { maas, maasJson, startMaas, template, type StageJson } from './maas.js';

/**
 * Everything that a resumed training has to take up again: momentum, a schedule, dropout, running statistics, an average
 * of the weights, gradients gathered over batches, the best weights so far, a last batch that is not full. It is killed
 * over and over, and must end in the same bytes as one that nobody disturbed.
 */
const config = `
name: iris
seed: 11
data: {source: iris.csv, target: species}
train:
  engine: {onnx: {checkpointSeconds: 0.02}}
  model:
    layers:
      - {dense: {units: 96, activation: relu}}
      - batchNormalization
      - {dropout: {rate: 0.2}}
      - {dense: {units: 64, activation: relu}}
      - dense
  optimizer: {sgd: {learningRate: 0.05, momentum: 0.9, nesterov: true}}
  schedule: {cosine: {warmup: 3}}
  clipNorm: 1
  ema: {decay: 0.95}
  accumulate: 2
  earlyStopping: {monitor: validationLoss, patience: 1000}
  metrics: [f1, rocAuc]
  epochs: 500
  batchSize: 8
`;

const kills = Number(process.env['KILLS'] ?? 30);
let root: string;
let whole: StageJson;
/** Milliseconds of an unbroken run from its first event on. */
let span: number;
let count = 0;

async function makeProject(at?: string): Promise<string> {
  const path = at ?? join(root, `project-${count++}`);
  await cp(join(template, 'data', 'iris.csv'), join(path, 'iris.csv'), { recursive: true });
  await writeFile(join(path, 'maas.config.yaml'), config);
  return path;
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-train-kill-'));
  const path = await makeProject();
  const { next, ended, events } = startMaas(path, ['train']);
  await next(({ event }) => event === 'stage-start');
  const began = performance.now();
  expect(await ended).toMatchObject({ code: 0 });
  span = performance.now() - began;
  whole = events.at(-1) as unknown as StageJson;
}, 120_000);
afterAll(() => rm(root, { recursive: true, force: true, maxRetries: 3 }));

/** Numbers in [0, 1), the same each time (MINSTD). */
function numbers(): () => number {
  let state = 20_260_101;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

/** Epochs of the run's log, and steps with a line. */
async function logOf(path: string, { measured }: StageJson): Promise<string[]> {
  const text = await readFile(join(path, measured['runLog'] as string, 'metrics.jsonl'), 'utf8');
  const lines = text.trimEnd().split('\n');
  return lines
    .map((line) => JSON.parse(line) as { epoch: number; loss: number; validation?: unknown })
    .filter(({ validation }) => validation !== undefined)
    .map(({ epoch, loss, validation }) => JSON.stringify({ epoch, loss, validation }));
}

it(`ends in the same bytes after kill -9 at ${kills} points`, async () => {
  const random = numbers();
  const path = await makeProject();
  const expected = await logOf(join(root, 'project-0'), whole);
  let [killed, resumed, ends] = [0, 0, 0];
  let isFresh = true;
  while (killed < kills) {
    const { child, next, ended, events } = startMaas(path, ['train']);
    await next(({ event }) => event === 'stage-start');
    // Runs that go on from a checkpoint have less before them.
    const timer = setTimeout(() => child.kill('SIGKILL'), random() * span * (isFresh ? 1 : 0.6));
    const { signal, code } = await ended;
    clearTimeout(timer);
    if (events.some(({ event, epoch }) => event === 'train-progress' && Number(epoch) > 5) && !isFresh)
      resumed++;
    isFresh = signal !== 'SIGKILL';
    if (!isFresh) {
      killed++;
      continue;
    }
    expect(code).toBe(0);
    expect(events.at(-1)).toMatchObject({ digest: whole.digest });
    expect(await logOf(path, events.at(-1) as unknown as StageJson)).toEqual(expected);
    ends++;
    // What is in the cache would not be trained again.
    await rm(join(path, '.maas'), { recursive: true });
  }
  const last = await maasJson<StageJson>(path, ['train']);
  expect(last.digest).toBe(whole.digest);
  expect(await logOf(path, last)).toEqual(expected);
  console.log(
    `killed ${killed} times, taken up again ${resumed} times, ended ${ends + 1} times in ${whole.digest}`,
  );
  expect(resumed).toBeGreaterThan(kills / 4);
}, 900_000);

it('ends in the same bytes after Ctrl-C', async () => {
  const path = await makeProject();
  for (let stop = 1; stop <= 3; stop++) {
    const { child, next, ended } = startMaas(path, ['train']);
    await next(({ event, epoch }) => event === 'train-progress' && Number(epoch) >= stop * 100);
    child.kill('SIGINT');
    const { code, stderr } = await ended;
    expect(code, stderr).toBe(130);
    expect(stderr).toContain('a checkpoint is saved');
  }
  const { digest, notes } = await maasJson<StageJson & { notes: string[] }>(path, ['train']);
  expect(digest).toBe(whole.digest);
  expect(notes.join()).toContain('went on from a checkpoint');
}, 120_000);

it('ends in the same bytes after the disk was full', async ({ skip }) => {
  const path = await mkdtemp(join(root, 'disk-'));
  const mount = (options: string) =>
    spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'maas', path]).status === 0;
  if (!mount('size=64k')) skip('only root may mount a small disk');
  try {
    await makeProject(path);
    const { code, stderr } = await maas(path, ['train', '--quiet']);
    expect(code, stderr).toBe(4);
    expect(stderr).toContain('error[MAAS_DISK]');
    expect(stderr).toContain('ENOSPC');
    expect(mount('remount,size=16m')).toBe(true);
    expect((await maasJson<StageJson>(path, ['train'])).digest).toBe(whole.digest);
  } finally {
    spawnSync('umount', [path]);
  }
}, 120_000);
