import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateProtocol, predictProtocol } from '../../../src/stages/serve/index.js';
import { bigrams, flowers, makeShelf, type Shelf } from './releases.js';
import { start, type Served } from './start.js';

const protocols = [predictProtocol, generateProtocol];
let shelf: Shelf;
let server: Served;
beforeAll(async () => {
  shelf = await makeShelf();
  server = await start(await shelf.add(bigrams()), { protocols });
});
afterAll(async () => {
  await server.stop();
  await shelf.remove();
});

interface Generated {
  text: string;
  tokens: number;
  finishReason: string;
  seed: number;
}
async function generate(body: unknown, path = '/generate'): Promise<{ status: number; body: Generated }> {
  const response = await server.post(path, body);
  return { status: response.status, body: (await response.json()) as Generated };
}

describe('POST /generate', () => {
  it('goes on with a text, by what is most probable at temperature 0', async () => {
    expect(await generate({ text: 'xa', maxTokens: 5, temperature: 0, seed: 1 })).toEqual({
      status: 200,
      body: { text: 'babab', tokens: 5, finishReason: 'length', seed: 1 },
    });
    expect((await generate({ text: 'a', temperature: 0 }, '/generate/bigrams')).body.text).toHaveLength(100);
  });

  it('draws by the probabilities, sharpened by the temperature', async () => {
    // After a comes b with 0.6, c with 0.3, 🐈 with 0.1.
    const shareOf = async (options: object): Promise<Record<string, number>> => {
      const counts: Record<string, number> = { a: 0, b: 0, c: 0, '🐈': 0 };
      for (let seed = 0; seed < 300; seed++) {
        const { body } = await generate({ text: 'a', maxTokens: 1, seed, ...options });
        counts[body.text]! += 1 / 300;
      }
      return counts;
    };
    const plain = await shareOf({});
    expect(plain['a']).toBe(0);
    expect(Math.abs(plain['b']! - 0.6)).toBeLessThan(0.1);
    expect(Math.abs(plain['c']! - 0.3)).toBeLessThan(0.1);
    expect(Math.abs(plain['🐈']! - 0.1)).toBeLessThan(0.06);
    // Squares: 0.36, 0.09 and 0.01 of 0.46.
    expect(Math.abs((await shareOf({ temperature: 0.5 }))['b']! - 0.783)).toBeLessThan(0.09);
    const two = await shareOf({ topK: 2 });
    expect(two['🐈']).toBe(0);
    expect(Math.abs(two['b']! - 2 / 3)).toBeLessThan(0.1);
  });

  it('repeats itself with the seed that it names', async () => {
    const first = (await generate({ text: 'a', maxTokens: 60 })).body;
    const again = (await generate({ text: 'a', maxTokens: 60, seed: first.seed })).body;
    expect(again).toEqual(first);
    expect((await generate({ text: 'a', maxTokens: 60, seed: first.seed + 1 })).body.text).not.toBe(
      first.text,
    );
  });

  it('ends at a stop, and counts characters as people do', async () => {
    const { body } = await generate({ text: 'a', maxTokens: 1000, stop: '🐈', seed: 3 });
    expect(body.finishReason).toBe('stop');
    expect(body.text.endsWith('🐈')).toBe(true);
    expect(body.text.indexOf('🐈')).toBe(body.text.length - 2);
    expect(body.tokens).toBe(Array.from(body.text).length);
  });

  it.each<[string, unknown, string]>([
    ['no text', {}, 'text: '],
    ['no object', 7, 'expected object'],
    ['a key that nobody knows', { text: 'a', max_tokens: 3 }, 'max_tokens'],
    ['too many', { text: 'a', maxTokens: 5000 }, 'maxTokens: '],
    ['none', { text: 'a', maxTokens: 0 }, 'maxTokens: '],
    ['a cold temperature', { text: 'a', temperature: -1 }, 'temperature: '],
    ['text that is none', { text: ['a'] }, 'text: '],
    ['U+0000', { text: 'a\0' }, 'U+0000'],
  ])('refuses %s', async (_what, body, message) => {
    const answer = await generate(body);
    expect(answer.status).toBe(400);
    expect((answer.body as unknown as { error: string }).error).toContain(message);
  });

  it('is told of in the API, and refused by other models', async () => {
    const paths = async (from: Served): Promise<string[]> =>
      Object.keys(((await (await from.get('/openapi.json')).json()) as { paths: object }).paths);
    expect(await paths(server)).toEqual(expect.arrayContaining(['/generate', '/generate/bigrams']));
    const other = await start(await shelf.add(flowers()), { protocols });
    try {
      expect(await paths(other)).not.toContain('/generate');
      const answer = await other.post('/generate', { text: 'a' });
      expect(answer.status).toBe(400);
      expect(await answer.json()).toEqual({
        error: 'the model flowers does not go on with texts; ask /predict',
      });
      expect((await other.post('/generate/none', { text: 'a' })).status).toBe(404);
    } finally {
      await other.stop();
    }
  });
});
