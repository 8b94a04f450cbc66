import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { openSession, type Feeds } from '../../../../src/runtime/session.js';
import { serveOptions } from '../../../../src/stages/serve/config.js';
import { findDifference } from '../../../../src/stages/serve/golden.js';
import { openModel, type LoadedModel, type LoadOptions } from '../../../../src/stages/serve/loaded-model.js';
import { encoder, lists, words, type EncoderOptions } from './encoder.js';

let model: LoadedModel | undefined;
afterEach(async () => {
  await model?.close();
  model = undefined;
});

interface Seen {
  readonly runs: number[];
  readonly elements: { data: number; padding: number };
}

/** Opens a model as the server does. `padding` is what the config says. */
async function open(
  bytes: Uint8Array,
  padding: unknown,
  options: Partial<LoadOptions> = {},
): Promise<LoadedModel & Seen> {
  const seen: Seen = { runs: [], elements: { data: 0, padding: 0 } };
  const dimensions = serveOptions.parse({ padding }).padding!;
  const files = { name: 'encoder', version: '1', projectName: 'encoder', model: bytes, size: bytes.length };
  model = await openModel(files, {
    threads: 1,
    workers: 0,
    maxBatchSize: 8,
    maxQueue: 1000,
    padding: { dimensions },
    onRun: (_, rows) => seen.runs.push(rows),
    onElements: (_, kind, count) => (seen.elements[kind] += count),
    ...options,
  });
  return Object.assign(model, seen);
}

const list = (length: number, first = 1): number[] =>
  Array.from({ length }, (_, index) => (first + 7 * index) % words);

async function directly(bytes: Uint8Array, requests: readonly Feeds[]): Promise<Feeds[]> {
  const session = await openSession(bytes);
  const answers: Feeds[] = [];
  for (const request of requests) answers.push(await session.run(request));
  await session.close();
  return answers;
}

function expectSame(answers: readonly Feeds[], expected: readonly Feeds[]): void {
  expect(answers.map((answer, index) => findDifference(answer, expected[index]!, 1e-5))).toEqual(
    expected.map(() => undefined),
  );
  expect(answers.map((answer) => Object.keys(answer).length)).toEqual(expected.map(() => 4));
}

describe('padding', () => {
  it('lets requests of different lengths share a run, and cuts their answers back', async () => {
    const opened = await open(encoder(), { S: { buckets: [4, 16] } });
    expect(opened.padded).toEqual(['S']);
    const requests = [5, 9, 12].map((length) => lists([list(length, length)]));
    const answers = await Promise.all(requests.map((request) => opened.predict(request)));
    // The first padded runs are held against what each gives alone.
    expect(opened.runs).toEqual([3, 1, 1, 1]);
    expect(answers.map(({ shares }) => shares!.dims)).toEqual(
      [5, 9, 12].map((length) => [1, length, length]),
    );
    expectSame(answers, await directly(encoder(), requests));
    expect(opened.elements).toEqual({ data: 2 * (5 + 9 + 12), padding: 2 * (3 * 12 - 26) });
  });

  it('gives every caller what the direct session gives, for any lengths, rows and interleaving', async () => {
    const bytes = encoder();
    const session = await openSession(bytes);
    const request = fc.record({
      length: fc.integer({ min: 1, max: 40 }),
      rows: fc.array(fc.nat(words - 1), { minLength: 1, maxLength: 4 }),
      hidden: fc.nat(3),
      wait: fc.nat(2),
    });
    for (const [padding, workers] of [
      [{ S: {} }, 0],
      [{ S: { value: { ids: 3 }, buckets: [8, 32] } }, 2],
    ] as const) {
      const opened = await open(bytes, padding, { workers });
      await fc.assert(
        fc.asyncProperty(fc.array(request, { minLength: 2, maxLength: 24 }), async (requests) => {
          const feeds = requests.map(({ length, rows, hidden }) => {
            const inputs = lists(rows.map((first) => list(length, first)));
            // Callers pad by themselves, too.
            inputs.mask.data.fill(0n as never, inputs.mask.data.length - Math.min(hidden, length - 1));
            return inputs;
          });
          const answers = await Promise.all(
            feeds.map(async (inputs, index) => {
              for (let turn = 0; turn < requests[index]!.wait; turn++) {
                await new Promise((resolve) => setImmediate(resolve));
              }
              return opened.predict(inputs);
            }),
          );
          const expected: Feeds[] = [];
          for (const inputs of feeds) expected.push(await session.run(inputs));
          expectSame(answers, expected);
        }),
        { numRuns: 40, seed: 7 },
      );
      expect(Math.max(...opened.runs)).toBeGreaterThan(4);
      expect(opened.elements.padding).toBeGreaterThan(0);
      await opened.close();
    }
    await session.close();
  });

  it('keeps those apart that are of another bucket, longer than all, or as long as none', async () => {
    const opened = await open(encoder(), { S: { buckets: [4, 16] } });
    const requests = [3, 20, 4, 7, 21, 20].map((length) => lists([list(length)]));
    const answers = await Promise.all(requests.map((request) => opened.predict(request)));
    expect(opened.runs).toEqual([2, 1, 1, 2, 1, 1]);
    expectSame(answers, await directly(encoder(), requests));
    const empty = await opened.predict(lists([[]]));
    expect(empty['states']!.dims).toEqual([1, 0, 16]);
  });

  it('fails nobody else for a request that the model cannot run', async () => {
    const opened = await open(encoder(), { S: {} });
    const requests = [lists([list(6)]), lists([[1, 2, 999]]), lists([list(8)])];
    const answers = await Promise.allSettled(requests.map((request) => opened.predict(request)));
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  it('finds out which outputs are as long as the inputs where their dimensions have other names', async () => {
    const bytes = encoder({ named: false });
    const opened = await open(bytes, { S: {} });
    const requests = [13, 14].map((length) => lists([list(length)]));
    const answers = await Promise.all(requests.map((request) => opened.predict(request)));
    expect(opened.runs).toEqual([2, 1, 1]);
    expectSame(answers, await directly(bytes, requests));
  });

  it.each<[string, EncoderOptions, RegExp]>([
    [
      'does not heed its mask',
      { masked: false },
      /^padding changes an answer \(states\[\d+\] is .* and not /,
    ],
    ['goes by the length of a run', { relative: true }, /^padding changes an answer \(pooled\[/],
  ])('pads nothing of a model that %s', async (_, options, reason) => {
    const bytes = encoder(options);
    const opened = await open(bytes, { S: {} });
    expect(opened.padded).toEqual([]);
    expect(opened.unpadded).toMatch(reason);
    const requests = [5, 6, 5].map((length) => lists([list(length)]));
    const answers = await Promise.all(requests.map((request) => opened.predict(request)));
    expect(opened.runs).toEqual([2, 1]);
    expectSame(answers, await directly(bytes, requests));
  });

  it('ends with the first answer that it would have changed, which nobody gets', async () => {
    const bytes = encoder({ late: true });
    const reasons: string[] = [];
    const opened = await open(bytes, { S: {} }, { onUnpadded: (_, reason) => reasons.push(reason) });
    expect(opened.padded).toEqual(['S']);
    // Some wait for a second run while the first finds out.
    const requests = Array.from({ length: 12 }, (_, index) => lists([list(13 + (index % 2), index)]));
    const answers = await Promise.all(requests.map((request) => opened.predict(request)));
    expectSame(answers, await directly(bytes, requests));
    expect(reasons).toEqual([expect.stringMatching(/^padding changes an answer \(\w+\[/)]);
    expect(opened.padded).toEqual([]);
    const { length } = opened.runs;
    await Promise.all(requests.map((request) => opened.predict(request)));
    expect(opened.runs.slice(length)).toEqual([6, 6]);
  });

  it.each([
    [{ s: {} }, /no input of the model has an open dimension s$/, 'Did you mean "S"?'],
    [{ sequence: {} }, /no input of the model has an open dimension sequence$/, 'There is S.'],
    [{ N: {} }, /no input of the model has an open dimension N beside its batch$/, 'Did you mean "S"?'],
    [{ S: { value: { idx: 0 } } }, /S\.value: the model has no input idx with S$/, 'Did you mean "ids"?'],
    [{ S: { value: 0.5 } }, /S\.value: input ids holds int64, and not 0\.5$/, 'value: { ids: 0 }'],
  ])('refuses %j with what would be right', async (padding, message, hint) => {
    await expect(open(encoder(), padding)).rejects.toMatchObject({
      code: 'MAAS_CONFIG_INVALID',
      message: expect.stringMatching(message) as string,
      hint: expect.stringContaining(hint) as string,
    });
  });
});
