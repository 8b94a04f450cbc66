import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { colours, flowers, labels, makeShelf, type Shelf } from './releases.js';
import { start, type Served } from './start.js';

let shelf: Shelf;
let server: Served;
beforeAll(async () => {
  shelf = await makeShelf();
  const sample = flowers();
  const [height, ...others] = sample.signature.features;
  const named = { ...sample.signature, features: [{ ...height!, name: '</script>"$&' }, ...others] };
  server = await start(await shelf.add({ ...sample, signature: named }));
});
afterAll(async () => {
  await server.stop();
  await shelf.remove();
});

describe('the page at /', () => {
  const browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';

  it('is for browsers, and JSON is for others', async () => {
    const page = await fetch(`${server.url}/`, { headers: { accept: browser } });
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(page.headers.get('vary')).toBe('accept');
    for (const accept of ['*/*', 'application/json', 'text/htmlx']) {
      const other = await fetch(`${server.url}/`, { headers: { accept } });
      expect(other.headers.get('content-type')).toBe('application/json');
    }
  });

  it('holds the signature, whatever names are in it, and asks nobody else', async () => {
    const page = await fetch(`${server.url}/`, { headers: { accept: browser } });
    const text = await page.text();
    expect(text.match(/<\/script>/g)).toHaveLength(1);
    const embedded = /const facts = (.*);/.exec(text)![1]!;
    const facts = JSON.parse(embedded) as { model: { features: { name: string }[] } };
    expect(facts.model.features.map(({ name }) => name)).toEqual(['</script>"$&', 'width', 'colour']);
    expect(text).not.toMatch(/https?:\/\//);
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
  });
});

describe('/openapi.json', () => {
  it('describes /predict by the signature', async () => {
    const api = (await (await server.get('/openapi.json')).json()) as {
      openapi: string;
      paths: Record<string, { post: { requestBody: unknown; responses: Record<string, unknown> } }>;
    };
    expect(api.openapi).toBe('3.1.0');
    const { post } = api.paths['/predict']!;
    expect(post.requestBody).toMatchObject({
      content: {
        'application/json': {
          schema: {
            oneOf: [
              {
                properties: { width: { type: 'number' }, colour: { type: 'string', examples: colours } },
                required: ['</script>"$&', 'width', 'colour'],
              },
              { type: 'array' },
            ],
          },
        },
      },
    });
    expect(post.responses['200']).toMatchObject({
      content: {
        'application/json': { schema: { oneOf: [{ properties: { label: { enum: labels } } }, {}] } },
      },
    });
    expect(Object.keys(api.paths)).toContain('/v2/models/flowers/infer');
  });
});

describe('the repository index', () => {
  it('lists what is served', async () => {
    const response = await server.post('/v2/repository/index', {});
    expect(await response.json()).toEqual([
      { name: 'flowers', version: server.digest, state: 'READY', reason: '' },
    ]);
    expect((await server.get('/v2/repository/index')).status).toBe(405);
  });
});
