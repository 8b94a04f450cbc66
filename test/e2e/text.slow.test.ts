import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { maasJson, makeProject, post, serve, type RunJson, type TemporaryProject } from './maas.js';

const names = ['Ann', 'Ben', 'Zoë', 'Ömer'];
const places = ['the sea', 'a river', 'the woods'];

/** Sentences of which some characters follow from those before them, and some are drawn. */
function write(sentences: number): string {
  let state = 7;
  const pick = <Item>(items: readonly Item[]): Item => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return items[(state >> 16) % items.length]!;
  };
  return Array.from({ length: sentences }, () => `${pick(names)} goes to ${pick(places)}.\n`).join('');
}

interface Generated {
  text: string;
  finishReason: string;
  seed: number;
}

describe.each([
  ['lstm', { lstm: { units: [48], embedding: 16 } }],
  ['transformer', { transformer: { units: 32, heads: 2, layers: 1, dropout: 0 } }],
])('maas run on running text, with the preset %s', (_name, preset) => {
  let project: TemporaryProject;
  let run: RunJson;

  beforeAll(async () => {
    project = await makeProject();
    await writeFile(join(project.path, 'book.txt'), write(600));
    await writeFile(
      join(project.path, 'maas.config.yaml'),
      JSON.stringify({
        name: 'walks',
        data: { source: 'book.txt', target: 'next', text: { context: 32, stride: 16 } },
        train: {
          model: { preset },
          optimizer: { adam: { learningRate: 0.01 } },
          epochs: 12,
          gates: { bitsPerCharacter: { max: 0.6 } },
        },
        compress: { passes: ['quantize'], gates: { accuracy: { maxDrop: 0.03 }, latency: { maxRatio: 2 } } },
        deploy: { target: { local: {} }, verify: { timeout: 300 } },
      }),
    );
    run = await maasJson<RunJson>(project.path, ['run']);
  }, 600_000);
  afterAll(() => project.remove());

  it('trains, compresses and releases it', () => {
    expect(run.status).toBe('done');
    expect(run.stages['train']!.metrics).toMatchObject({ perplexity: expect.any(Number) as number });
  });

  it('goes on with texts in the manner of the book', async () => {
    const server = await serve(project.path);
    try {
      const generate = (body: object) => post<Generated>(`${server.url}/generate`, body);
      const first = await generate({ text: 'Ann goes to the sea.\nBen goes', temperature: 0, stop: ' to ' });
      expect(first).toMatchObject({ text: ' to ', finishReason: 'stop' });
      const drawn = await generate({ text: 'Ann goes to the sea.\n', maxTokens: 300, seed: 5 });
      const known = new Set(names.flatMap((name) => places.map((place) => `${name} goes to ${place}.`)));
      const sentences = drawn.text.split('\n').slice(0, -1);
      expect(sentences.length).toBeGreaterThan(8);
      const right = sentences.filter((sentence) => known.has(sentence)).length;
      expect(right / sentences.length).toBeGreaterThan(0.7);
      expect(new Set(sentences).size).toBeGreaterThan(3);
      expect(await generate({ text: 'Ann goes to the sea.\n', maxTokens: 300, seed: 5 })).toEqual(drawn);
      const { label } = await post<{ label: string }>(`${server.url}/predict`, { text: 'Zoë goes t' });
      expect(label).toBe('o');
    } finally {
      await server.stop();
    }
  }, 120_000);
});
