import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import type { Model } from '../../../src/ir/graph.js';
import type { FitOrder, PassContext } from '../../../src/plugin/api.js';
import { createDistillPass } from '../../../src/stages/compress/index.js';
import { teach } from '../../../src/stages/compress/passes/distill/teach.js';
import { students } from '../../../src/stages/students.js';
import { contextOf, runModel } from '../../conformance/pass-suite.js';
import { classifier, flowers, regressor, signatureOf } from '../../evaluate/models.js';

const distill = createDistillPass(students);
const feeds = { features: flowers(16) };
const plain = { temperature: 4, alpha: 0.9, hidden: [] };

/** What a model says, with more of its values as outputs. */
async function look(model: Model, names: readonly string[]): Promise<number[][]> {
  const outputs = names.map((name) => ({ name, dtype: 'float32' as const, shape: undefined }));
  const found = await runModel({ ...model, graph: { ...model.graph, outputs } }, feeds);
  return names.map((name) => found[name] as number[]);
}

describe('a teacher beside its student', () => {
  it('is α·T²·KL of softened probabilities away', async () => {
    const [teacher, student] = [classifier(32, 1), classifier(8, 2)];
    const { model, loss } = teach(teacher, student, plain);
    const [value, mine] = await look(model, [loss, 'probabilities']);
    const theirs = (await runModel(teacher, feeds))['probabilities'] as number[];
    const soften = (row: number[]): number[] => {
      const powers = row.map((p) => Math.max(p, 1e-30) ** (1 / 4));
      const sum = powers.reduce((total, power) => total + power, 0);
      return powers.map((power) => power / sum);
    };
    let divergence = 0;
    for (let row = 0; row < 16; row++) {
      const [p, q] = [theirs, mine!].map((all) => soften(all.slice(row * 3, row * 3 + 3)));
      divergence += p!.reduce((sum, share, at) => sum + share * Math.log(share / q![at]!), 0) / 16;
    }
    expect(value![0]! / (0.9 * 16 * divergence)).toBeCloseTo(1, 3);
    // The student says what it said before.
    expect(mine).toEqual((await runModel(student, feeds))['probabilities']);
  });

  it('is nowhere from itself, hidden layers included', async () => {
    for (const [make, hidden] of [
      [classifier, 'dense1'],
      [regressor, 'dense0'],
    ] as const) {
      const lesson = teach(make(16), make(16), { ...plain, hidden: [{ teacher: hidden, weight: 1 }] });
      expect(lesson.projections).toEqual([]);
      expect((await look(lesson.model, [lesson.loss]))[0]![0]).toBeCloseTo(0, 5);
    }
  });

  it('projects layers of another width', async () => {
    const lesson = teach(classifier(16), classifier(8), {
      ...plain,
      hidden: [{ teacher: 'dense0', weight: 0.5 }],
    });
    const [projection] = lesson.projections;
    expect(lesson.model.graph.initializers.get(projection!)!.dims).toEqual([8, 16]);
    expect((await look(lesson.model, [lesson.loss]))[0]![0]).toBeGreaterThan(0);
  });

  it('says that it does not know of several targets', () => {
    const several = (model: Model): Model => {
      const g = new GraphBuilder({ ...model.graph, outputs: [] });
      g.output(g.op('Identity', ['probabilities']), 'kind.probabilities');
      return { ...model, graph: g.build() };
    };
    const placeOf = () => ({ file: 'maas.config.yaml' });
    expect(() => teach(several(classifier(16)), several(classifier(8)), plain, placeOf)).toThrow(
      expect.objectContaining({
        code: 'MAAS_CONFIG_INVALID',
        message: 'distill does not know of several targets yet',
        place: { file: 'maas.config.yaml' },
      }),
    );
  });

  it('refuses layers that are not there, and those that do not fit', () => {
    const ask = (teacher: string, student?: string) => () =>
      teach(classifier(16), classifier(8), { ...plain, hidden: [{ teacher, student, weight: 1 }] });
    expect(ask('dense7')).toThrow(/the model has no node dense7/);
    expect(ask('dense0', 'dens1')).toThrow(/the student has no node dens1/);
    const hidden = [{ teacher: 'dense0', student: 'dens1', weight: 1 }];
    const placeOf = (path: readonly (string | number)[]) => ({ file: path.join('.') });
    expect(() => teach(classifier(16), classifier(8), { ...plain, hidden }, placeOf)).toThrow(
      expect.objectContaining({ place: { file: 'hidden.0.student' } }),
    );
    const flat = new GraphBuilder();
    flat.output(flat.op('Flatten', [flat.input('features', 'float32', ['N', 4])]), 'probabilities');
    const other: Model = { ...classifier(8), graph: flat.build() };
    expect(() =>
      teach(classifier(8), other, {
        ...plain,
        hidden: [{ teacher: 'argmax', student: 'flatten', weight: 1 }],
      }),
    ).toThrow(/distill\.hidden/);
    expect(() => teach(classifier(8), regressor(8), plain)).toThrow(/share no output/);
    const old = { ...classifier(8), opsets: { '': 17 } };
    expect(() => teach(classifier(8), old, plain)).toThrow(/operator set 21, the student of 17/);
  });
});

describe('distill', () => {
  it('trains the student alone, and hands on a model of the same outputs', async () => {
    const orders: FitOrder[] = [];
    const context: PassContext = {
      ...contextOf(feeds),
      trainer: {
        batchSize: 8,
        dataset: undefined as never,
        fit: (order) => {
          orders.push(order);
          const { outputs } = teacher.graph;
          return Promise.resolve({ ...order.model, graph: { ...order.model.graph, outputs } });
        },
      },
    };
    const teacher = classifier(32);
    const { model, report } = await distill.run(
      teacher,
      distill.options.parse({ student: { width: 0.25 }, alpha: 0.7, hidden: [{ teacher: 'dense1' }] }),
      context,
    );
    expect(orders).toHaveLength(1);
    const [{ trainable, objective, epochs }] = orders as [FitOrder];
    expect(objective!.share).toBeCloseTo(0.3);
    expect(epochs).toBe(20);
    expect(trainable!.some((name) => name.startsWith('teacher_'))).toBe(false);
    expect(trainable).toContain('projection');
    expect(model.graph.outputs).toEqual(teacher.graph.outputs);
    expect(report.changed).toBe(true);
    expect(report.applied!.map(({ node }) => node)).toEqual(
      expect.arrayContaining(['dense0', 'dense1', 'dense2']),
    );
    expect(model.graph.initializers.get('weight1')!.dims).toEqual([8, 8]);
  });

  it.each<[object, RegExp]>([
    [{ student: {} }, /expected one of: width, layers, preset/],
    [{ student: { width: 0.5, preset: 'mlp' } }, /a student is made in one way: remove width, or preset/],
    [{ student: { width: 1 } }, /width/],
    [{ temperature: 0 }, /temperature/],
    [{ alpha: 2 }, /alpha/],
    [{ unlabelled: true, alpha: 0.5 }, /rows without a label can be learned from the model alone/],
    [{ epochs: 0 }, /epochs/],
    [{ learningRate: -1 }, /learningRate/],
    [{ hidden: [{ teacher: '' }] }, /teacher/],
  ])('refuses %j', (options, message) => {
    const { error } = distill.options.safeParse(options);
    expect(JSON.stringify(error?.issues)).toMatch(message);
  });

  it('names a student that does not fit as the config does', async () => {
    const statistics = { features: { mean: new Float32Array(4), deviation: new Float32Array(4).fill(1) } };
    const dataset = { signature: signatureOf('classification'), statistics, splits: {} };
    const layers = students.fields.layers.parse([{ lstm: { units: 8 } }, { dense: {} }]);
    const placeOf = (path: readonly (string | number)[]) => ({ file: 'maas.config.yaml', line: path.length });
    const build = students.build(
      { layers, preset: undefined },
      { dataset: dataset as never, seed: 1, placeOf },
    );
    await expect(build).rejects.toMatchObject({
      code: 'MAAS_MODEL_SHAPE',
      message: expect.stringMatching(/^distill\.student\.layers\[0\]/) as string,
      place: { file: 'maas.config.yaml' },
    });
  });

  it('needs rows to train on', async () => {
    await expect(
      distill.run(classifier(8), distill.options.parse({}), contextOf(feeds)),
    ).rejects.toMatchObject({ code: 'MAAS_USAGE' });
  });
});
