import { describe, expect, it } from 'vitest';
import { MaasError } from '../../../src/errors.js';
import { attr, type Attributes, type Model } from '../../../src/ir/graph.js';
import { freshNames, replaceNodes } from '../../../src/ir/rewrite.js';
import { int64s, tensor } from '../../../src/ir/tensor.js';
import { checkLatency, checkQuality, enforce, type Measurement } from '../../../src/stages/compress/gates.js';
import type { Gates } from '../../../src/stages/compress/config.js';
import { classifier, regressor } from '../../evaluate/models.js';
import type { Pass } from '../../../src/plugin/api.js';
import { makeCompressBench, passOf } from './bench.js';

const gates: Gates = {
  accuracy: { maxDrop: 0.01 },
  error: { maxIncrease: 0.05 },
  size: { maxRatio: 0.6 },
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

it('an error tells the gate, the limit, the figure and the layers, for each gate that failed', () => {
  const verdicts = checkQuality(gates, { ...fine, after: { accuracy: 0.9, logLoss: 1 }, bytesAfter: 900 });
  let error: unknown;
  try {
    enforce(verdicts, [{ node: 'dense1' }], { file: 'maas.config.yaml' });
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

/** Multiplications of 256 × 256 zeros whose sum joins the logits. */
function slowDown(model: Model): Model {
  const fresh = freshNames(model.graph);
  const graph = replaceNodes(model.graph, (node) => {
    if (node.op !== 'Softmax') return undefined;
    const shape = fresh('shape');
    let last = fresh('zeros');
    const nodes = [
      // Not a constant: onnxruntime would fold it away.
      { op: 'Expand', inputs: ['label_zero', shape], outputs: [last] },
    ];
    for (let step = 0; step < 4; step++) {
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
        [shape, int64s([256, 256])],
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
