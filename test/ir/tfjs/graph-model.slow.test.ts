import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MaasError } from '../../../src/errors.js';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { importKeras } from '../../../src/ir/keras/load.js';
import { encodeModel } from '../../../src/ir/onnx/save.js';
import { openSession } from '../../../src/runtime/session.js';
import { absent, openTf } from '../../stages/train/engines/tfjs-node/installed.js';
import { noise } from '../../stages/train/engines/onnx/jobs.js';
import { gradientCases } from '../gradient-cases.js';
import { kerasCases } from '../keras/fixtures.js';
import { expectNear } from '../keras/predict.js';
import { runGraphModel } from './run-graph-model.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-graph-model-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));
let folders = 0;
const folder = () => join(root, String(folders++));

/** Volumes: TensorFlow.js has operators for them, but maas does not write them down. */
const refusedLayers = /3d/i;

describe.skipIf(absent !== '')(`a graph model gives what the layers gave${absent}`, () => {
  it.each(kerasCases.map((one) => [one.name, one] as const))(
    '%s',
    async (name, { artifacts, inputs, outputs }) => {
      const model = importKeras(artifacts);
      const feeds = Object.fromEntries(model.graph.inputs.map((input, at) => [input.name, inputs[at]!]));
      const run = runGraphModel(openTf(), model, feeds, folder());
      if (refusedLayers.test(name)) {
        await expect(run).rejects.toMatchObject({ code: 'MAAS_MODEL_UNSUPPORTED' });
        return;
      }
      const made = await run;
      const found = model.graph.outputs.map((output) => made[output.name]!);
      expectNear(found, outputs);
    },
  );
});

const opCases = Object.entries(gradientCases).flatMap(([op, list]) =>
  // TensorFlow.js has no double precision.
  list.filter(({ what }) => what !== 'to double').map((check) => ({ title: `${op}, ${check.what}`, check })),
);

describe.skipIf(absent !== '')(`operators of a graph model${absent}`, () => {
  const refused: string[] = [];

  it.each(opCases)('$title', async ({ title, check }) => {
    const g = new GraphBuilder();
    // The first size is open where it is the same for all.
    const inputs = check.shapes.map((shape, at) => g.input(`x${at}`, 'float32', shape));
    for (const [at, y] of check.build(g, inputs).entries()) g.output(y, `y${at}`);
    const model = {
      irVersion: 10,
      opsets: { '': check.opset ?? 21 },
      producer: 'test',
      graph: g.build(),
      metadata: {},
    };
    const feeds = Object.fromEntries(
      inputs.map((name, at) => {
        const dims = check.shapes[at]!;
        const size = dims.reduce((product, one) => product * one, 1);
        const data = noise(size, `${title} ${at}`).map((value) => check.domain?.(2 * value) ?? 2 * value);
        return [name, { dtype: 'float32' as const, dims, data }];
      }),
    );
    const session = await openSession(encodeModel(model), { optimization: 'basic' });
    const expected = await session.run(feeds);
    await session.close();
    try {
      const found = await runGraphModel(openTf(), model, feeds, folder());
      for (const { name } of model.graph.outputs) {
        const [wanted, given] = [expected[name]!, found[name]!];
        expect(given.dims).toEqual(wanted.dims);
        const scale = Math.max(1, ...Array.from(wanted.data as Float32Array, (value) => Math.abs(value)));
        Array.from(wanted.data as Float32Array, Number).forEach((value, at) => {
          expect(Math.abs(Number(given.data[at]) - value) / scale).toBeLessThan(2e-5);
        });
      }
    } catch (error) {
      if (!(error instanceof MaasError) || error.code !== 'MAAS_MODEL_UNSUPPORTED') throw error;
      refused.push(`${title}: ${error.message}`);
    }
  });

  it('has most of them', () => {
    expect(opCases.length - refused.length, refused.join('\n')).toBeGreaterThan(250);
  });
});
