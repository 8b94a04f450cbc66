import { describe, expect, it } from 'vitest';
import { MaasError } from '../../../src/errors.js';
import { attr, type Attributes, type Model } from '../../../src/ir/graph.js';
import { momentsOf } from '../../../src/evaluate/confidence.js';
import { freshNames, replaceNodes } from '../../../src/ir/rewrite.js';
import { int64s, tensor } from '../../../src/ir/tensor.js';
import {
  checkLatency,
  checkMemory,
  checkQuality,
  enforce,
  type Measurement,
} from '../../../src/stages/compress/gates.js';
import type { Gates } from '../../../src/stages/compress/config.js';
import { classifier, regressor } from '../../evaluate/models.js';
import type { Pass } from '../../../src/plugin/api.js';
import { makeCompressBench, passOf } from './bench.js';

const gates: Gates = {
  accuracy: { maxDrop: 0.01 },
  error: { maxIncrease: 0.05 },
  size: { maxRatio: 0.6 },
  overflow: { maxShare: 0 },
  latency: { maxRatio: 1.2 },
};

const fine: Measurement = {
  task: 'classification',
  before: { accuracy: 0.98, logLoss: 0.1 },
  after: { accuracy: 0.97, logLoss: 0.2 },
  difference: { agreement: 0.99, signalToNoise: 40 },
  bytesBefore: 1000,
  bytesAfter: 600,
};

function passed(measurement: Partial<Measurement>): Record<string, boolean> {
  const verdicts = checkQuality(gates, { ...fine, ...measurement });
  return Object.fromEntries(verdicts.map((verdict) => [verdict.gate, verdict.passed]));
}

describe('a limit', () => {
  it('may be reached, and not passed', () => {
    expect(passed({})).toEqual({ accuracy: true, size: true });
    expect(passed({ after: { accuracy: 0.9699, logLoss: 0.2 } })).toEqual({ accuracy: false, size: true });
    expect(passed({ bytesAfter: 601 })).toEqual({ accuracy: true, size: false });
    const regression = { task: 'regression', before: { mse: 2 } } as const;
    expect(passed({ ...regression, after: { mse: 2.1 } })).toEqual({ error: true, size: true });
    expect(passed({ ...regression, after: { mse: 2.11 } })).toEqual({ error: false, size: true });
    const latency = { batch: 1, before: 10, after: 12, ratio: 1.2, low: 1.2, high: 1.2 };
    expect(
      checkLatency(gates, [latency, { ...latency, ratio: 1.3 }, { ...latency, low: 1.21 }]).map(
        (verdict) => verdict.passed,
      ),
    ).toEqual([true, true, false]);
  });

  it('is never kept by what is no number', () => {
    expect(passed({ after: { accuracy: 0.98, logLoss: NaN } })['accuracy']).toBe(false);
    expect(passed({ task: 'regression', before: { mse: 1 }, after: { mse: NaN } })['error']).toBe(false);
  });

  it('is kept by a regression that was perfect and stays so', () => {
    expect(passed({ task: 'regression', before: { mse: 0 }, after: { mse: 0 } })['error']).toBe(true);
    expect(passed({ task: 'regression', before: { mse: 0 }, after: { mse: 1e-9 } })['error']).toBe(false);
  });
});

describe('gates that are there when asked for', () => {
  const labels = { 'recall.a': 1, 'recall.b': 0.9 };
  const measured: Measurement = {
    ...fine,
    before: { ...fine.before, ...labels },
    after: { ...fine.after, 'recall.a': 1, 'recall.b': 0.7 },
  };

  function verdictOf(extra: Partial<Gates>): readonly [string, boolean, string][] {
    return checkQuality({ ...gates, ...extra }, measured)
      .filter(({ gate }) => gate in extra)
      .map(({ gate, passed: isPassed, text }) => [gate, isPassed, text]);
  }

  it('hold the label that lost most against its limit', () => {
    const text = 'recall of b dropped by 0.2 (0.9 → 0.7)';
    expect(verdictOf({ recall: { maxDrop: 0.2 } })).toEqual([['recall', true, text]]);
    expect(verdictOf({ recall: { maxDrop: 0.1 } })).toEqual([['recall', false, text]]);
  });

  it('ask for the labels of before', () => {
    const text = '0.99 of the rows get the label that they got before';
    expect(verdictOf({ agreement: { min: 0.99 } })).toEqual([['agreement', true, text]]);
    expect(verdictOf({ agreement: { min: 0.995 } })).toEqual([['agreement', false, text]]);
  });

  it('ask for an output like before, and infinity is one', () => {
    const text = 'the output keeps 40 dB';
    expect(verdictOf({ signalToNoise: { min: 40 } })).toEqual([['signalToNoise', true, text]]);
    expect(verdictOf({ signalToNoise: { min: 41 } })).toEqual([['signalToNoise', false, text]]);
    const same = { ...measured, difference: { agreement: 1, signalToNoise: Infinity } };
    const broken = { ...measured, difference: { agreement: 1, signalToNoise: NaN } };
    const results = [same, broken].map((each) =>
      checkQuality({ ...gates, signalToNoise: { min: 200 } }, each).find(
        ({ gate }) => gate === 'signalToNoise',
      ),
    );
    expect(results.map((each) => each?.passed)).toEqual([true, false]);
  });
});

describe('peak memory', () => {
  const mebi = 2 ** 20;
  it.each([
    [1, 100, 103, true],
    [1, 100, 105, false],
    [0.5, 100, 53, true],
    [0.5, 100, 55, false],
  ])('of at most %f × %i MiB may be %i MiB: %s', (maxRatio, before, after, isFine) => {
    const [verdict] = checkMemory(
      { ...gates, memory: { maxRatio } },
      { before: before * mebi, after: after * mebi },
    );
    expect(verdict!.passed).toBe(isFine);
    expect(verdict!.text).toMatch(/× the peak memory \(100\.0 → \d+\.0 MiB\)$/);
  });

  it('is not measured unasked, and is when asked', async () => {
    const wasteful = passOf('wasteful', (model) => slowDown(model, 2048, 0));
    const bench = await makeCompressBench(classifier(16), 'classification', [wasteful]);
    const all = { latency: { maxRatio: 100 }, size: { maxRatio: 10 } };
    const [, plain] = await bench.run({ passes: ['fold'], gates: all });
    expect(plain!.measured).not.toHaveProperty('peakMemory');
    const error = await bench.compress({ passes: ['wasteful'], gates: { ...all, memory: {} } }).then(
      () => undefined,
      (thrown: unknown) => thrown as MaasError,
    );
    // It may be too slow as well, on some machines.
    const gatesOf = [error!, ...error!.others].map(({ details }) => details?.['gate']);
    expect(gatesOf).toContain('memory');
  });
});

describe('with confidence', () => {
  const change = (rows: number, lost: number, gained = 0) => ({ rows, lost, gained });
  const moments = (rows: number, a: number, b: number) =>
    momentsOf(rows, (row) => [a * (1 + 0.1 * (row % 2)), b * (1 + 0.1 * ((row >> 1) % 2))]);
  const paired = {
    accuracy: change(1000, 8, 2),
    agreement: change(1000, 12),
    labels: { a: change(900, 0), b: change(40, 0) },
    errors: moments(100, 1.02, 1),
    noise: moments(100, 1, 10_000),
  };
  const labels = { 'recall.a': 1, 'recall.b': 1 };
  const measured: Measurement = {
    ...fine,
    before: { accuracy: 0.98, logLoss: 0.1, ...labels },
    after: { accuracy: 0.974, logLoss: 0.1, ...labels },
    difference: { agreement: 0.988, signalToNoise: 40 },
    paired,
  };
  const judge = (extra: Partial<Gates>, other: Partial<Measurement> = {}) =>
    Object.fromEntries(
      checkQuality({ ...gates, ...extra }, { ...measured, ...other }).map((each) => [each.gate, each]),
    );

  it('a gate holds when no worse figure is likely', () => {
    const accuracy = { maxDrop: 0.01 };
    expect(judge({ accuracy })['accuracy']).toMatchObject({ passed: true, figure: 0.98 - 0.974 });
    const bounded = judge({ accuracy, confidence: 0.95 })['accuracy']!;
    expect(bounded.passed).toBe(false);
    expect(bounded.figure).toBeCloseTo(0.01237, 4);
    expect(bounded.text).toMatch(
      /^accuracy dropped by 0\.006 \(0\.98 → 0\.974\), by at most 0\.01237 with 95 % confidence on 1000 rows$/,
    );
    expect(judge({ accuracy: { maxDrop: 0.02 }, confidence: 0.95 })['accuracy']!.passed).toBe(true);
  });

  it('the label counts that leaves most open, and few rows are told as what they are', () => {
    const { recall } = judge({ recall: { maxDrop: 0.01 }, confidence: 0.9 });
    expect(recall!.passed).toBe(false);
    expect(recall!.text).toMatch(
      /^recall of b dropped by 0 \(1 → 1\), by at most 0\.03\d+ with 90 % confidence on 40 rows: to show no more than 0\.01 takes 163 rows at least$/,
    );
    const strict = judge({ accuracy: { maxDrop: 0 }, confidence: 0.95 })['accuracy']!;
    expect(strict.text).toMatch(/: no number of rows shows that nothing is lost$/);
  });

  it('agreement, error and signal to noise are bounded too', () => {
    const extra = { agreement: { min: 0.98 }, signalToNoise: { min: 40 }, confidence: 0.95 };
    const { agreement, signalToNoise } = judge(extra);
    expect([agreement!.passed, signalToNoise!.passed]).toEqual([true, false]);
    expect(agreement!.figure).toBeCloseTo(0.9809, 3);
    expect(signalToNoise!.figure).toBeLessThan(40);
    expect(signalToNoise!.figure).toBeGreaterThan(39.5);
    const regression = { task: 'regression', before: { mse: 1 }, after: { mse: 1.02 } } as const;
    const { error } = judge({ error: { maxIncrease: 0.025 }, confidence: 0.95 }, regression);
    expect(error!.passed).toBe(false);
    expect(judge({ error: { maxIncrease: 0.05 }, confidence: 0.95 }, regression)['error']!.passed).toBe(true);
  });

  it('nothing is left open where there are no pairs to count', () => {
    const all = checkQuality({ ...gates, confidence: 0.95 }, { ...measured, paired: {} });
    expect(all.find(({ gate }) => gate === 'accuracy')!.text).toBe(
      'accuracy dropped by 0.006 (0.98 → 0.974)',
    );
  });

  it('an unchanged model passes, a changed one needs rows', async () => {
    const bench = await makeCompressBench(classifier(64));
    const all = { latency: { maxRatio: 100 }, size: { maxRatio: 10 }, confidence: 0.95 };
    const strict = { ...all, accuracy: { maxDrop: 0.001 }, agreement: { min: 1 } };
    await bench.run({ passes: ['simplify'], gates: strict });
    await expect(bench.compress({ passes: ['quantize'], gates: strict })).rejects.toMatchObject({
      code: 'MAAS_GATE_FAILED',
      message: expect.stringMatching(
        /with 95 % confidence on \d+ rows: to show no more than 0\.001 takes 2703 rows/,
      ) as string,
    });
    await bench.compress({ passes: ['quantize'], gates: { ...all, accuracy: { maxDrop: 0.1 } } });
  });
});

it('an error tells the gate, the limit, the figure and the layers, for each gate that failed', () => {
  const verdicts = checkQuality(gates, { ...fine, after: { accuracy: 0.9, logLoss: 1 }, bytesAfter: 900 });
  let error: unknown;
  try {
    enforce(verdicts, { layers: [{ node: 'dense1' }], saturated: [] }, { file: 'maas.config.yaml' });
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(MaasError);
  const { message, details, others, exitCode, place } = error as MaasError;
  expect(message).toBe(
    'compress.gates.accuracy.maxDrop is 0.01: accuracy dropped by 0.08 (0.98 → 0.9); changed layers: dense1',
  );
  expect(details).toMatchObject({ gate: 'accuracy', limit: 0.01, layers: ['dense1'] });
  expect(others.map((other) => other.message)).toEqual([
    'compress.gates.size.maxRatio is 0.6: 0.9 × the size (1000 → 900 bytes); changed layers: dense1',
  ]);
  expect(exitCode).toBe(3);
  expect(place).toEqual({ file: 'maas.config.yaml' });
});

/** The model with one weight put through `change`. */
function withWeight(model: Model, name: string, change: (value: number, index: number) => number): Model {
  const weight = model.graph.initializers.get(name)!;
  const bytes = (weight.data as Uint8Array).slice();
  const values = new Float32Array(bytes.buffer).map(change);
  const initializers = new Map(model.graph.initializers).set(name, tensor('float32', weight.dims, values));
  return { ...model, graph: { ...model.graph, initializers } };
}

/** Multiplications of square matrices of zeros whose sum joins the logits. */
function slowDown(model: Model, size = 256, times = 4): Model {
  const fresh = freshNames(model.graph);
  const graph = replaceNodes(model.graph, (node) => {
    if (node.op !== 'Softmax') return undefined;
    const shape = fresh('shape');
    let last = fresh('zeros');
    const nodes = [
      // Not a constant: onnxruntime would fold it away.
      { op: 'Expand', inputs: ['label_zero', shape], outputs: [last] },
    ];
    for (let step = 0; step < times; step++) {
      const next = fresh('slow');
      nodes.push({ op: 'MatMul', inputs: [last, last], outputs: [next] });
      last = next;
    }
    const [sum, logits, zero, input] = [fresh('sum'), fresh('logits'), 'label_zero', node.inputs[0]!];
    nodes.unshift({ op: 'ReduceSum', inputs: ['no_row'], outputs: [zero] });
    nodes.unshift({ op: 'Slice', inputs: [input, 'start', 'end'], outputs: ['no_row'] });
    nodes.push({ op: 'ReduceSum', inputs: [last], outputs: [sum] });
    nodes.push({ op: 'Add', inputs: [input, sum], outputs: [logits] });
    const keep = (op: string): Attributes => (op === 'ReduceSum' ? { keepdims: attr.int(0) } : {});
    return {
      nodes: [
        ...nodes.map((each) => ({ domain: '', name: fresh('n'), attributes: keep(each.op), ...each })),
        { ...node, inputs: [logits] },
      ],
      initializers: [
        [shape, int64s([size, size])],
        ['start', int64s([0])],
        ['end', int64s([0])],
      ] as const,
    };
  });
  return { ...model, graph };
}

/** A weight stored as two halves that the graph adds up again. */
function fatten(model: Model): Model {
  const half = withWeight(model, 'weight1', (value) => value / 2).graph.initializers.get('weight1')!;
  const graph = replaceNodes(model.graph, (node) => {
    if (node.name !== 'dense1') return undefined;
    const add = { op: 'Add', domain: '', name: 'join', attributes: {} };
    return {
      nodes: [
        { ...add, inputs: ['half', 'rest'], outputs: ['joined'] },
        { ...node, inputs: [node.inputs[0]!, 'joined', node.inputs[2]!] },
      ],
      initializers: [
        ['half', half],
        ['rest', half],
      ] as const,
    };
  });
  return { ...model, graph };
}

describe('a planted fault', () => {
  const relaxed = { latency: { maxRatio: 100 }, size: { maxRatio: 10 } };

  it.each([
    [
      'wrecks the weights',
      (model: Model) => withWeight(model, 'weight1', (value, i) => (i % 2 ? value : -value)),
    ],
    ['makes them NaN', (model: Model) => withWeight(model, 'weight1', () => NaN)],
  ])('that %s fails the accuracy gate', async (_, rewrite) => {
    const bench = await makeCompressBench(classifier(), 'classification', [passOf('wreck', rewrite)]);
    await bench.run({ gates: relaxed });
    const good = await bench.current('compress');
    await expect(bench.run({ passes: ['wreck'], gates: relaxed })).rejects.toMatchObject({
      code: 'MAAS_GATE_FAILED',
      exitCode: 3,
      message: expect.stringMatching(/; changed layers: dense1 \((-?\d+\.\d dB|not a number)\)$/) as string,
      details: { gate: 'accuracy', layers: ['dense1'] },
    });
    // The last good artifact stays.
    expect(good).toBeDefined();
    expect(await bench.current('compress')).toBe(good);
  });

  it('is named before the layers that are all right', async () => {
    const flip = passOf('flip', (model) => withWeight(model, 'weight2', (value) => -value));
    const wreck: Pass = {
      ...flip,
      run: async (model, options, context) => {
        const { model: after } = await flip.run(model, options, context);
        const applied = ['dense0', 'dense1', 'dense2', 'gone'].map((node) => ({ node, note: 'changed' }));
        return { model: after, report: { changed: true, applied, skipped: [] } };
      },
    };
    const bench = await makeCompressBench(classifier(), 'classification', [wreck]);
    await expect(bench.run({ passes: ['flip'], gates: relaxed })).rejects.toMatchObject({
      message: expect.stringMatching(
        /changed layers: dense2 \(-\d+\.\d dB\), dense0 \(unchanged\), dense1 \(unchanged\), gone$/,
      ) as string,
      details: { layers: ['dense2', 'dense0', 'dense1', 'gone'] },
    });
  });

  it('fails the error gate of a regression', async () => {
    const wreck = passOf('wreck', (model) =>
      withWeight(model, 'weight1', (value, i) => (i % 2 ? value : -value)),
    );
    const bench = await makeCompressBench(regressor(), 'regression', [wreck]);
    await expect(bench.run({ passes: ['wreck'], gates: relaxed })).rejects.toThrow(
      /^compress\.gates\.error\.maxIncrease is 0\.05: the mean squared error grew by /,
    );
  });

  it('that stores more than it saves fails the size gate', async () => {
    const bench = await makeCompressBench(classifier(), 'classification', [passOf('fatten', fatten)]);
    await expect(
      bench.run({ passes: ['fatten'], gates: { ...relaxed, size: { maxRatio: 1 } } }),
    ).rejects.toMatchObject({ code: 'MAAS_GATE_FAILED', details: { gate: 'size' } });
  });

  it('that makes it slow fails the latency gate', async () => {
    const bench = await makeCompressBench(classifier(), 'classification', [passOf('slow', slowDown)]);
    await expect(
      bench.run({ passes: ['slow'], gates: { size: { maxRatio: 10 }, latency: { maxRatio: 2 } } }),
    ).rejects.toMatchObject({ code: 'MAAS_GATE_FAILED', details: { gate: 'latency' } });
  });

  it('that breaks the graph is told as what it is', async () => {
    const dangling = (model: Model): Model => ({
      ...model,
      graph: { ...model.graph, nodes: model.graph.nodes.slice(1) },
    });
    const bench = await makeCompressBench(classifier(16), 'classification', [passOf('cut', dangling)]);
    await expect(bench.run({ passes: ['cut'], gates: relaxed })).rejects.toMatchObject({
      code: 'MAAS_MODEL_INVALID',
    });
  });
});
