import { describe, expect, it } from 'vitest';
import { defineEngine, type Engine, type Project } from '../../../src/plugin/api.js';
import { chooseEngine } from '../../../src/stages/train/choose-engine.js';
import type { TrainOptions } from '../../../src/stages/train/config.js';

const engine = (name: string, missing?: string, distributed = false): Engine =>
  defineEngine({
    name,
    summary: name,
    distributed,
    unavailable: () =>
      Promise.resolve(missing === undefined ? undefined : { reason: missing, hint: 'Get it.' }),
    train: () => Promise.reject(new Error('not to be called')),
  });
const project: Project = { name: 'p', seed: 1, root: '/', configFile: '/c', config: {} };
const choose = (name: string, engines: readonly Engine[], distributed?: TrainOptions['distributed']) =>
  chooseEngine(
    { engine: { name, options: {} }, ...(distributed && { distributed }) },
    { engines: new Map(engines.map((one) => [one.name, one])) },
    project,
  );

const onnx = engine('onnx', undefined, true);

describe('chooseEngine', () => {
  it('takes the engine that the config names, there or not', async () => {
    const absent = engine('tfjs-node', 'no library');
    expect(await choose('tfjs-node', [onnx, absent])).toEqual({ engine: absent, options: {} });
  });

  it('takes what is installed for auto, and says why', async () => {
    expect(await choose('auto', [onnx, engine('tfjs-node')])).toMatchObject({
      engine: { name: 'tfjs-node' },
      reason: 'it is installed',
    });
    expect(await choose('auto', [onnx, engine('tfjs-node', 'no library')])).toMatchObject({
      engine: { name: 'onnx' },
      reason: 'tfjs-node cannot run: no library',
    });
  });

  it('takes one that trains on several processes where the config wants them', async () => {
    const together = { launcher: 'mpi' } as TrainOptions['distributed'];
    expect(await choose('auto', [onnx, engine('tfjs-node')], together)).toMatchObject({
      engine: { name: 'onnx' },
      reason: 'tfjs-node trains in one process',
    });
  });

  it('passes over one that cannot train by the loss', async () => {
    const tfjs = { ...engine('tfjs-node'), withoutLosses: ['triplet'] };
    const engines = new Map([onnx, tfjs].map((one) => [one.name, one]));
    const wanted = { engine: { name: 'auto', options: {} }, loss: { name: 'triplet', options: {} } };
    expect(await chooseEngine(wanted, { engines }, project)).toMatchObject({
      engine: { name: 'onnx' },
      reason: 'tfjs-node cannot train by triplet',
    });
  });
});
