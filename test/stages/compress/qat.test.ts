import { describe, expect, it } from 'vitest';
import type { Model } from '../../../src/ir/graph.js';
import type { PassContext, Trainer } from '../../../src/plugin/api.js';
import { qatPass, quantizePass } from '../../../src/stages/compress/index.js';
import { passModels } from '../../conformance/pass-models.js';
import { contextOf, runModel } from '../../conformance/pass-suite.js';

/** A trainer that keeps what it is given, and changes nothing but by `change`. */
function stub(change: (model: Model, trainable: readonly string[]) => Model = (model) => model) {
  const seen: Model[] = [];
  const fit: Trainer['fit'] = ({ model, trainable }) => {
    const fitted = change(model, trainable ?? []);
    seen.push(fitted);
    return Promise.resolve(fitted);
  };
  return { seen, trainer: { fit, batchSize: 4, dataset: undefined as never } };
}

const settings = { minElements: 1, epochs: 1 };

describe.each(passModels())('quantization-aware training of $name', ({ model, feeds }) => {
  const context = (trainer: Trainer): PassContext => ({ ...contextOf(feeds), trainer });

  it.each([
    { perChannel: true, reduceRange: false },
    { perChannel: false, reduceRange: true },
  ])('hands on what it has trained: $perChannel, $reduceRange', async (how) => {
    const { seen, trainer } = stub();
    const { model: made, report } = await qatPass.run(
      model,
      qatPass.options.parse({ ...settings, ...how }),
      context(trainer),
    );
    expect(report.changed).toBe(seen.length === 1);
    if (!seen[0]) return;
    const [trained, shipped] = [await runModel(seen[0], feeds), await runModel(made, feeds)];
    for (const [name, values] of Object.entries(trained)) {
      if (typeof values[0] === 'string') continue;
      const numbers = values as number[];
      const most = Math.max(...numbers.map(Math.abs));
      const gaps = numbers.map((value, at) => Math.abs(value - Number(shipped[name]![at])));
      // A step of the coarsest grid that an output is on, and no more.
      expect(Math.max(...gaps) / most, name).toBeLessThan(2 / 255);
      // Which few outputs are off by: ties that are rounded the other way.
      expect(gaps.filter((gap) => gap > most * 1e-4).length / gaps.length).toBeLessThan(0.25);
    }
  });

  it('untrained gives what the static quantizer gives', async () => {
    const { trainer } = stub();
    const how = { minElements: 1 };
    const { model: plain } = await quantizePass.run(
      model,
      quantizePass.options.parse({ ...how, biasCorrection: false }),
      context(trainer),
    );
    const { model: made } = await qatPass.run(model, qatPass.options.parse(how), context(trainer));
    const [one, two] = [await runModel(plain, feeds), await runModel(made, feeds)];
    for (const [name, values] of Object.entries(one)) {
      if (typeof values[0] === 'string') continue;
      const most = Math.max(...(values as number[]).map(Math.abs));
      const gaps = (values as number[]).map((value, at) => Math.abs(value - Number(two[name]![at])));
      expect(Math.max(...gaps) / most, name).toBeLessThan(4 / 255);
    }
  });
});

it.each([
  [{ epochs: 0 }, 'epochs'],
  [{ epochs: 1.5 }, 'epochs'],
  [{ learningRate: 0 }, 'learningRate'],
  [{ learningRate: Infinity }, 'learningRate'],
  [{ batchSize: 0 }, 'batchSize'],
  [{ ranges: 'guessed' }, 'ranges'],
  [{ exclude: [''] }, 'exclude'],
  [{ calibration: { samples: 0 } }, 'calibration'],
])('refuses %j', (options, at) => {
  expect(qatPass.options.safeParse(options).error?.issues[0]?.path[0]).toBe(at);
});

it('needs rows to train on', async () => {
  const { model, feeds } = passModels()[0]!;
  await expect(qatPass.run(model, qatPass.options.parse({}), contextOf(feeds))).rejects.toMatchObject({
    code: 'MAAS_USAGE',
    message: expect.stringContaining('qat cannot train') as string,
  });
});
