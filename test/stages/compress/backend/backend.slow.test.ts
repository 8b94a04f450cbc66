import { afterAll, describe, expect, it } from 'vitest';
import type { Model, Value } from '../../../../src/ir/graph.js';
import { decodeModel } from '../../../../src/ir/onnx/load.js';
import { encodeModel } from '../../../../src/ir/onnx/save.js';
import { fromNdArray, isNumeric, toNdArray, type NdArray } from '../../../../src/ir/tensor.js';
import { openSession, type Feeds } from '../../../../src/runtime/session.js';
import { convertOpset } from '../../../../src/ir/opset/convert.js';
import { cleanupPasses } from '../../../../src/stages/compress/index.js';
import { contextOf } from '../../../conformance/pass-suite.js';
import { feedsOf, listTests, readTest, skipReason, type OnnxTest } from './onnx-tests.js';

/** Tests that the installed onnxruntime answers as recorded; for the others only the files are compared. */
const answered = { count: 0, cleaned: 0, converted: 0 };

type Outputs = Record<string, NdArray>;

async function tryRun(model: Model, feeds: Feeds): Promise<Outputs | undefined> {
  try {
    const session = await openSession(encodeModel(model), { optimization: 'disabled' });
    try {
      return await session.run(feeds);
    } finally {
      await session.close();
    }
  } catch {
    return undefined;
  }
}

/** Half floats and brain floats are held as bits. */
function numbersOf({ dtype, data }: NdArray): number[] | string[] {
  if (dtype === 'string') return data as string[];
  if (dtype === 'float16') return Array.from(data as Uint16Array, halfToNumber);
  return Array.from(data as ArrayLike<number | bigint>, Number);
}

function halfToNumber(bits: number): number {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 0) return (sign * fraction) / 2 ** 24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
}

function isClose(
  one: readonly (number | string)[],
  other: readonly (number | string)[],
  share: number,
): boolean {
  return (
    one.length === other.length &&
    one.every((value, at) => {
      const [a, b] = [value, other[at]!];
      if (typeof a === 'string' || typeof b === 'string' || Object.is(a, b) || a === b)
        return a === b || Object.is(a, b);
      return Math.abs(a - b) <= share * (1e-4 + Math.abs(a));
    })
  );
}

function expectSame(actual: Outputs | undefined, expected: Outputs): void {
  expect(Object.keys(actual ?? {})).toEqual(Object.keys(expected));
  for (const [name, array] of Object.entries(expected)) {
    const other = actual![name]!;
    expect([other.dtype, other.dims]).toEqual([array.dtype, array.dims]);
    expect(isClose(numbersOf(array), numbersOf(other), 1e-5), name).toBe(true);
  }
}

/** What onnxruntime gives for a test, where that is what is recorded. */
async function answerOf(test: OnnxTest): Promise<{ feeds: Feeds; expected: Outputs } | undefined> {
  const feeds = feedsOf(test);
  const isPlain = test.outputs.length === test.model.graph.outputs.length;
  if (!feeds || !isPlain || !test.outputs.every(({ dtype }) => isNumeric(dtype) || dtype === 'string'))
    return undefined;
  const expected = await tryRun(test.model, feeds);
  if (!expected) return undefined;
  const recorded = test.model.graph.outputs.map(
    ({ name }, index) => [name, toNdArray(test.outputs[index]!)] as const,
  );
  const agrees = recorded.every(([name, array]) => {
    const given = expected[name];
    return given?.dtype === array.dtype && isClose(numbersOf(array), numbersOf(given), 1e-3);
  });
  return agrees ? { feeds, expected } : undefined;
}

/** The model with its inputs as constants, so that passes find something to do: outputs are written by nodes of their own. */
function bind({ graph, ...model }: Model, feeds: Feeds): Model {
  const inner = (name: string): string => `${name}/inner`;
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const rename = (name: string): string => (outputs.has(name) ? inner(name) : name);
  const copies = graph.outputs.map(({ name }) => ({
    op: 'Identity',
    domain: '',
    name: '',
    inputs: [inner(name)],
    outputs: [name],
    attributes: {},
  }));
  const nodes = graph.nodes.map((node) => ({
    ...node,
    inputs: node.inputs.map(rename),
    outputs: node.outputs.map(rename),
  }));
  const initializers = new Map([
    ...graph.initializers,
    ...Object.entries(feeds).map(([name, array]) => [name, fromNdArray(array)] as const),
  ]);
  const isOpen = ({ name }: Value): boolean => !(name in feeds) && !graph.initializers.has(name);
  const inputs = graph.inputs.filter(isOpen);
  const bound = { ...graph, inputs, initializers, nodes: [...nodes, ...copies], values: new Map() };
  return { ...model, irVersion: Math.max(model.irVersion, 4), graph: bound };
}

const hasSubgraphs = ({ graph }: Model): boolean =>
  graph.nodes.some(({ attributes }) =>
    Object.values(attributes).some(({ type }) => type.startsWith('graph')),
  );

describe.skipIf(skipReason)(`ONNX's own tests${skipReason ? ` (skipped: ${skipReason})` : ''}`, () => {
  const names = listTests();

  it('are all there', () => {
    expect(names.length).toBeGreaterThan(1000);
  });

  it.each(names)(
    '%s is saved to the same model and keeps its outputs through every clean-up and in later operator sets',
    async (name) => {
      const test = await readTest(name);
      const { model } = test;
      const saved = decodeModel(encodeModel(model));
      expect(saved).toEqual(model);
      const answer = await answerOf(test);
      if (!answer) return;
      answered.count++;
      const { feeds, expected } = answer;
      expectSame(await tryRun(saved, feeds), expected);
      for (const version of [13, 17, 21, 26]) {
        const { model: later, applied } = convertOpset(model, version);
        if (applied.length === 0) continue;
        answered.converted++;
        try {
          expectSame(await tryRun(later, feeds), expected);
        } catch (error) {
          throw new Error(`operator set ${version}: ${JSON.stringify(applied)}`, { cause: error });
        }
      }
      const variants: [Model, Feeds][] = [[model, feeds]];
      // A name inside a subgraph could be one of the outputs'.
      if (!hasSubgraphs(model)) variants.push([bind(model, feeds), {}]);
      for (const [given, inputs] of variants) {
        const bound = given === model ? expected : await tryRun(given, inputs);
        if (!bound) continue;
        for (const pass of cleanupPasses) {
          const { model: cleaned, report } = await pass.run(given, pass.options.parse({}), contextOf(feeds));
          if (!report.changed) continue;
          answered.cleaned++;
          try {
            expectSame(await tryRun(cleaned, inputs), bound);
          } catch (error) {
            throw new Error(`${pass.name}: ${JSON.stringify(report.applied)}`, { cause: error });
          }
        }
      }
    },
  );

  afterAll(() => {
    // Of what onnxruntime does not run, nothing would be shown.
    expect(answered.count).toBeGreaterThan(700);
    expect(answered.cleaned).toBeGreaterThan(700);
    expect(answered.converted).toBeGreaterThan(100);
  });
});
