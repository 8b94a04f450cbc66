import { readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataSchema, loadDataset, type Dataset } from '../../../../../src/data/index.js';
import { evaluate } from '../../../../../src/evaluate/index.js';
import { GraphBuilder } from '../../../../../src/ir/builder.js';
import { attr } from '../../../../../src/ir/graph.js';
import { encodeModel } from '../../../../../src/ir/onnx/save.js';
import { tensor } from '../../../../../src/ir/tensor.js';
import type { Project, TrainOrder, TrainProgress } from '../../../../../src/plugin/api.js';
import { commandEngine } from '../../../../../src/stages/train/index.js';

let root: string;
let dataset: Dataset;
let project: Project;
let count = 0;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-command-'));
  // Numbers with gaps, and a text column: what the trainer gets is filled, scaled and one-hot.
  const rows = Array.from({ length: 150 }, (_, row) => {
    const kind = ['a', 'b', 'c'][row % 3]!;
    const size = row % 11 === 0 ? '' : String((row % 3) * 4 + Math.sin(row * 7.3));
    return `${size},${(row % 3) * 100 + 30 * Math.cos(row)},${row % 2 === 0 ? 'é, "x"' : 'y'},${kind}`;
  });
  const lines = rows.map((row) => row.replace('é, "x"', '"é, ""x"""'));
  await writeFile(join(root, 'rows.csv'), `size,weight,colour,kind\n${lines.join('\n')}\n`);
  await cp(new URL('./trainer.mjs', import.meta.url).pathname, join(root, 'trainer.mjs'));
  const config = dataSchema.parse({ source: 'rows.csv', target: 'kind' });
  dataset = await loadDataset(config, { root, seed: 3, name: 'kinds' });
  project = { name: 'kinds', seed: 3, root, configFile: join(root, 'maas.config.yaml'), config: {} };
  await writeFile(
    join(root, 'linear.onnx'),
    template(4, 3, (_, logits) => logits),
  );
});
afterAll(() => rm(root, { recursive: true }));

/** A model [N, columns] → [N, classes] whose weights are 1, 2, 3 … */
function template(
  columns: number,
  classes: number,
  end: (g: GraphBuilder, logits: string) => string,
): Uint8Array {
  const g = new GraphBuilder('template');
  g.input('x', 'float32', ['batch', columns]);
  const upTo = (size: number, from: number) => Float32Array.from({ length: size }, (_, at) => from + at);
  const kernel = g.initializer('kernel', tensor('float32', [columns, classes], upTo(columns * classes, 1)));
  const bias = g.initializer('bias', tensor('float32', [classes], upTo(classes, columns * classes + 1)));
  g.output(end(g, g.op('Gemm', ['x', kernel, bias])));
  return encodeModel({ irVersion: 10, opsets: { '': 21 }, producer: '', graph: g.build(), metadata: {} });
}

interface Setup {
  readonly run?: string;
  readonly command?: Record<string, unknown>;
  readonly options?: Record<string, unknown>;
  readonly work?: string;
  readonly signal?: AbortSignal;
}

async function train({
  run = `${process.execPath} trainer.mjs`,
  command = {},
  options = {},
  work,
  signal,
}: Setup) {
  const folder = work ?? join(root, `work-${count++}`);
  await mkdir(folder, { recursive: true });
  const seen: TrainProgress[] = [];
  const order: TrainOrder = {
    dataset,
    loss: { name: 'sparseCategoricalCrossentropy' },
    optimizer: { name: 'adam', learningRate: 0.001 },
    metrics: [],
    epochs: 30,
    batchSize: 16,
    seed: 3,
    threads: 1,
    options: { run, options: { template: 'linear.onnx', ...options }, ...command },
    work: folder,
    signal: signal ?? new AbortController().signal,
    onProgress: (progress) => seen.push(progress),
  };
  return { ...(await commandEngine.train(order, project)), seen };
}

describe('the command engine', () => {
  it('hands the data over, follows the progress, and takes the model', async () => {
    const { model, history, seen, notes } = await train({});
    expect(history).toHaveLength(30);
    expect(history[29]!.loss).toBeLessThan(history[0]!.loss / 4);
    expect(history[29]).toHaveProperty('validationLoss');
    expect(seen.at(-1)).toMatchObject({ epoch: 30, epochs: 30, validation: { loss: history[29]!.loss } });
    expect(notes).toEqual([]);
    // The preprocessing that the trainer never saw the inside of is in front of its model.
    const { accuracy } = await evaluate(encodeModel(model), dataset.splits.test, dataset.signature);
    expect(accuracy).toBeGreaterThan(0.9);
  });

  it('takes probabilities as what they are', async () => {
    await writeFile(
      join(root, 'softmax.onnx'),
      template(4, 3, (g, logits) => g.op('Softmax', [logits])),
    );
    const [logits, shares] = [await train({}), await train({ options: { template: 'softmax.onnx' } })];
    const [first, second] = await Promise.all(
      [logits, shares].map(({ model }) =>
        evaluate(encodeModel(model), dataset.splits.test, dataset.signature),
      ),
    );
    expect(second!['logLoss']).toBeCloseTo(first!['logLoss']!, 5);
  });

  it('gives columns as they are, in files that numpy reads', async () => {
    const work = join(root, 'plain');
    const command = { preprocess: false };
    await expect(train({ run: 'true', work, command })).rejects.toMatchObject({
      code: 'MAAS_TRAINER_FAILED',
    });
    const schema = JSON.parse(await readFile(join(work, 'data/schema.json'), 'utf8')) as {
      splits: { train: { rows: number; arrays: Record<string, { file: string; dtype: string }> } };
    };
    const { arrays, rows } = schema.splits.train;
    expect(Object.keys(arrays)).toEqual(['features', 'colour', 'target']);
    const bytes = await readFile(join(work, 'data', arrays['colour']!.file));
    expect((10 + bytes.readUInt16LE(8)) % 64).toBe(0);
    expect(bytes.toString('latin1', 10, 100)).toContain(
      `'descr': '<U6', 'fortran_order': False, 'shape': (${rows}, 1)`,
    );
    const texts = new Set<string>();
    for (let at = 10 + bytes.readUInt16LE(8); at < bytes.length; at += 24) {
      const points = Array.from({ length: 6 }, (_, letter) => bytes.readUInt32LE(at + 4 * letter));
      texts.add(String.fromCodePoint(...points.filter((point) => point > 0)));
    }
    expect(texts).toEqual(new Set(['é, "x"', 'y']));
  });

  it('says how the trainer failed, with its last lines, and lets it go on from its checkpoint', async () => {
    const work = join(root, 'fails');
    const error = await train({ work, options: { dieAfter: 4 } }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'MAAS_TRAINER_FAILED', details: { exitCode: 7 } });
    expect(String(error)).toContain('Traceback: out of luck');
    const { history, notes, model } = await train({ work });
    expect(notes).toEqual(['went on after epoch 4']);
    expect(history.map(({ epoch }) => epoch)).toEqual(Array.from({ length: 30 }, (_, at) => at + 1));
    expect(encodeModel(model)).toEqual(encodeModel((await train({})).model));
  });

  it('stops the trainer, and all that it started, when it is stopped itself', async () => {
    const controller = new AbortController();
    const pids = join(root, 'pids');
    const run = `sh -c 'echo $$ >> ${pids}; trap "" TERM; sleep 61' & ${process.execPath} trainer.mjs`;
    const running = train({
      run,
      options: { hangAfter: 2 },
      signal: controller.signal,
      command: { graceSeconds: 1 },
    });
    await sleep(900);
    controller.abort();
    await expect(running).rejects.toMatchObject({ code: 'MAAS_INTERRUPTED' });
    const pid = Number(readFileSync(pids, 'utf8'));
    // A killed process takes a moment to go, and may stay a zombie until its parent asks for it.
    const stateOf = () => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ' Z ');
    await expect.poll(stateOf).toMatch(/ Z /);
  });

  it('ends a trainer that falls silent', async () => {
    const silent = train({ options: { hangAfter: 1 }, command: { silenceSeconds: 0.5, graceSeconds: 1 } });
    await expect(silent).rejects.toThrow('the trainer fell silent for 0.5 s');
  });

  it.each([
    ['leaves no model', { options: { leaveNothing: true } }, 'left no model'],
    ['is no program', { run: 'no-such-program' }, 'exit code 127 (a command was not found)'],
    ['leaves rubbish', { run: 'echo rubbish > $MAAS_OUT/model.onnx' }, 'model'],
    ['leaves nothing but a name', { run: 'touch $MAAS_OUT/model.onnx' }, 'model'],
    [
      'leaves a model that gives other figures than it had',
      { run: `${process.execPath} trainer.mjs; cp golden.npy $MAAS_OUT` },
      'golden.npy has 12345',
    ],
    [
      'leaves a golden file that is none',
      { run: `${process.execPath} trainer.mjs; echo 1 > $MAAS_OUT/golden.npy` },
      'no NPY file',
    ],
  ] as const)('refuses a trainer that %s', async (_, setup, message) => {
    const head = `{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }`.padEnd(117);
    const golden = Buffer.concat([
      Buffer.from(`\x93NUMPY\x01\x00\x76\x00${head}\n`, 'latin1'),
      Buffer.from(Float32Array.of(12345, 0, 0).buffer),
    ]);
    await writeFile(join(root, 'golden.npy'), golden);
    await expect(train(setup)).rejects.toThrow(message);
  });

  it('refuses a model for other data', async () => {
    await writeFile(
      join(root, 'wide.onnx'),
      template(4, 3, (g, logits) => g.op('Concat', [logits, logits], { axis: attr.int(1) })),
    );
    await expect(train({ options: { template: 'wide.onnx' } })).rejects.toMatchObject({
      code: 'MAAS_MODEL_SHAPE',
    });
  });

  it('notes lines of progress that it cannot read', async () => {
    const run = `echo '{"epoch": "one"}' >> $MAAS_PROGRESS; echo oops >> $MAAS_PROGRESS; ${process.execPath} trainer.mjs`;
    const { notes } = await train({ run });
    expect(notes).toEqual([`2 lines of the trainer's progress could not be read: {"epoch": "one"}`]);
  });

  it('counts the files and versions that the result depends on', async () => {
    await mkdir(join(root, 'lib/deep'), { recursive: true });
    await writeFile(join(root, 'lib/deep/net.py'), 'one');
    const { signal } = new AbortController();
    const key = (command: object) =>
      commandEngine.key({ run: 'node ./trainer.mjs', ...command }, project, signal);
    const inputs = ['lib/**/*.py'];
    const before = (await key({ inputs, versions: { tool: 'echo 1.2' } })) as {
      files: Record<string, string>;
    };
    expect(Object.keys(before.files)).toEqual(['lib/deep/net.py', 'trainer.mjs']);
    expect(before).toMatchObject({ versions: { tool: '1.2' } });
    await writeFile(join(root, 'lib/deep/net.py'), 'two');
    const after = (await key({ inputs })) as typeof before;
    expect(after.files['lib/deep/net.py']).not.toBe(before.files['lib/deep/net.py']);
    expect(after.files['trainer.mjs']).toBe(before.files['trainer.mjs']);
    await expect(key({ inputs: ['nothing/*.py'] })).rejects.toMatchObject({ code: 'MAAS_CONFIG_INVALID' });
    await expect(key({ versions: { tool: 'echo no >&2; exit 3' } })).rejects.toThrow(
      'the version of tool cannot be told: no',
    );
  });
});
