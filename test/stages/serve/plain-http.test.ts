import { hash } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { listenHttp, type Answer, type HttpFront, type HttpOptions } from '../../../src/stages/serve/http.js';
import { ComingBody } from '../../../src/stages/serve/plain-http/coming-body.js';
import { PlainHeads, readPlainHead } from '../../../src/stages/serve/plain-http/head.js';

const fronts: HttpFront[] = [];
afterEach(async () => {
  await Promise.all(fronts.splice(0).map((front) => front.stop(0)));
});

async function listen(options: Partial<HttpOptions> = {}): Promise<HttpFront> {
  const front = await listenHttp({
    host: '127.0.0.1',
    port: 0,
    maxBodyBytes: 1_000_000,
    answer: ({ method, path, query, body }) =>
      Promise.resolve({
        protocol: 'echo',
        status: 200,
        body: `<${method} ${path} ${String(query)} ${String(body)}>`,
      }),
    fail: (error): Answer => ({ protocol: 'maas', status: 500, body: String(error) }),
    onBegin: () => undefined,
    onEnd: () => undefined,
    onError: () => undefined,
    ...options,
  });
  fronts.push(front);
  return front;
}

/** A raw connection that ends its side, unless it asks for that, and everything that comes back. */
function dial(port: number, ...parts: string[]): Promise<string> {
  const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true });
  void (async () => {
    for (const part of parts) {
      socket.write(part, 'latin1');
      if (parts.length > 1) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    if (!parts.at(-1)!.includes('connection: close')) socket.end();
  })();
  socket.setEncoding('latin1');
  return text(socket);
}

const portOf = (front: HttpFront): number => Number(new URL(front.url).port);
const post = (body: string, fields = '', path = '/p'): string =>
  `POST ${path} HTTP/1.1\r\nhost: x\r\n${fields}content-length: ${body.length}\r\n\r\n${body}`;
const answers = (received: string): string[] => received.match(/<[^>]*>/g) ?? [];

describe('a plain connection', () => {
  it('answers requests in the order in which they came, whole, in pieces and several at once', async () => {
    let turn = 0;
    const front = await listen({
      answer: async ({ body }) => {
        // The first takes longest.
        await new Promise((resolve) => setTimeout(resolve, 6 - 2 * (turn++ % 3)));
        return { protocol: 'echo', status: 200, body: `<${String(body)}>` };
      },
    });
    const bodies = ['a', 'bb', '', 'cccc', 'd'.repeat(70_000), 'e'];
    const all = bodies.map((body) => post(body)).join('');
    const expected = bodies.map((body) => `<${body}>`);
    expect(answers(await dial(portOf(front), all)).map((answer) => answer.length)).toEqual(
      expected.map((answer) => answer.length),
    );
    expect(answers(await dial(portOf(front), all)).join() === expected.join()).toBe(true);
    const apart = await dial(portOf(front), ...bodies.map((body) => post(body)));
    expect(answers(apart).join() === expected.join()).toBe(true);
    // Each cut falls into a head, a body, or between them.
    for (const cut of [1, 30, 50, 53, 54, 80, 150]) {
      const cutUp = await dial(
        portOf(front),
        all.slice(0, cut),
        all.slice(cut) + post('last', 'connection: close\r\n'),
      );
      expect(answers(cutUp).join() === [...expected, '<last>'].join()).toBe(true);
    }
  });

  it('goes over to node:http at the first request of another kind, and loses none', async () => {
    const front = await listen();
    const get = 'GET /g?q=1 HTTP/1.1\r\nhost: x\r\n\r\n';
    const chunked = 'POST /c HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n';
    const received = await dial(
      portOf(front),
      post('1', '', '/p?a=b') + get + post('2') + chunked + post('3'),
    );
    expect(answers(received)).toEqual([
      '<POST /p a=b 1>',
      '<GET /g q=1 >',
      '<POST /p  2>',
      '<POST /c  abc>',
      '<POST /p  3>',
    ]);
  });

  it('reads large bodies as they were sent, whatever comes before, between and behind them', async () => {
    const digest = (body: Uint8Array | string): string => `<${body.length} ${hash('sha1', body)}>`;
    const answer: HttpOptions['answer'] = ({ body }) =>
      Promise.resolve({ protocol: 'echo', status: 200, body: digest(body) });
    const direct = vi.spyOn(ComingBody.prototype, 'advance');
    const front = await listen({ answer, maxBodyBytes: 3_000_000 });
    const size = fc.oneof(
      fc.integer({ min: 0, max: 40_000 }),
      fc.integer({ min: 2 ** 17 - 2, max: 2 ** 17 + 2 }),
      fc.integer({ min: 100_000, max: 2_000_000 }),
    );
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 3 });
    const connection = fc.record({ sizes: fc.array(size, { minLength: 1, maxLength: 4 }), cuts });
    let letter = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(connection, { minLength: 1, maxLength: 4 }), async (connections) => {
        await Promise.all(
          connections.map(async ({ sizes, cuts }) => {
            const bodies = sizes.map((length) => String.fromCharCode(97 + (letter++ % 26)).repeat(length));
            // From the first of another kind on node:http reads them.
            const other = 'GET / HTTP/1.1\r\nhost: x\r\n\r\n';
            const last = post(bodies[0]!) + post('end', 'connection: close\r\n');
            const all = bodies.map((body) => post(body)).join('') + other + last;
            const places = [0, ...cuts.map((share) => Math.floor(share * all.length)).sort((a, b) => a - b)];
            const parts = places.map((from, at) => all.slice(from, places[at + 1]));
            const expected = [...bodies, '', bodies[0]!, 'end'].map(digest);
            expect(answers(await dial(portOf(front), ...parts))).toEqual(expected);
          }),
        );
      }),
      { numRuns: 25, seed: 5 },
    );
    expect(direct).toHaveBeenCalled();
    direct.mockRestore();
  });

  it('lets go of a caller that leaves in the middle of a large body, and counts its connections', async () => {
    const ended: (Answer | undefined)[] = [];
    let begun = 0;
    const front = await listen({
      maxConnections: 1,
      onBegin: () => begun++,
      onEnd: (answer) => ended.push(answer),
    });
    for (const left of [1, 300_000, 499_000]) {
      const socket = connect(portOf(front), '127.0.0.1');
      socket.write(post('x'.repeat(500_000)).slice(0, -left));
      const before = begun;
      while (begun === before) await new Promise((resolve) => setTimeout(resolve, 1));
      socket.destroy();
      while (ended.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      expect(ended.splice(0)).toEqual([undefined]);
      // The one connection that there may be is free again.
      while ((await dial(portOf(front), post('y')).catch(() => '')) === '')
        await new Promise((resolve) => setTimeout(resolve, 1));
      ended.length = 0;
    }
  });

  it('says no more and no less in its heads than node:http', async () => {
    const front = await listen({
      answer: () =>
        Promise.resolve({ protocol: 'x', status: 429, headers: { 'retry-after': '1' }, body: 'späť' }),
    });
    const plain = await dial(portOf(front), post('x'));
    // A field that is there twice is nothing that it reads itself.
    const other = await dial(portOf(front), post('x', 'x-a: 1\r\nx-a: 2\r\n'));
    const headOf = (received: string): string[] =>
      received
        .split('\r\n\r\n')[0]!
        .replace(/Date: .*/, 'Date')
        .split('\r\n')
        .sort();
    expect(headOf(plain)).toEqual(headOf(other));
    expect(plain.split('\r\n\r\n')[1]).toBe(other.split('\r\n\r\n')[1]);
  });

  it('lets no field of an answer break out of its line', async () => {
    const front = await listen({
      answer: ({ body }) =>
        Promise.resolve({ protocol: 'x', status: 200, headers: { 'x-id': String(body) }, body: 'ok' }),
    });
    const received = await dial(portOf(front), post('a\r\nset-cookie: b'));
    expect(received).toMatch(/^HTTP\/1.1 500 /);
    expect(received).not.toContain('set-cookie');
  });

  it('gives a caller that reads slowly all of it', async () => {
    const body = Buffer.alloc(8_000_000, 'x');
    const front = await listen({ answer: () => Promise.resolve({ protocol: 'x', status: 200, body }) });
    const socket = connect(portOf(front), '127.0.0.1');
    socket.write(post('1') + post('2'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    let received = 0;
    for await (const chunk of socket) {
      received += (chunk as Buffer).length;
      if (received > 2 * body.length) break;
    }
    expect(received).toBeGreaterThan(2 * body.length);
  });
});

describe('readPlainHead', () => {
  /** What node:http makes of a request. */
  const requests: IncomingMessage[] = [];
  const bodies: string[] = [];

  it('reads what it takes as node:http does, whatever the bytes', async () => {
    const server = createServer((message, response) => {
      void text(message).then((body) => {
        requests.push(message);
        bodies.push(body);
        response.end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    let state = 5;
    const next = (count: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * count);
    };
    const pick = <T>(values: readonly T[]): T => values[next(values.length)]!;
    const start = 'POST /v2/models/m/infer?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-Id: 7';
    const bits = [
      '\r\n',
      '\r',
      '\n',
      ' ',
      '\t',
      ':',
      '0',
      '3',
      '+3',
      '3,3',
      '-',
      '\0',
      '\x7f',
      'é',
      '#',
      '"',
      ';',
      '/',
      '%00',
      '\r\nContent-Length: 3',
      '\r\nTransfer-Encoding: chunked',
      '\r\nConnection: close',
      '\r\nconnection: keep-alive',
      '\r\n folded',
      '\r\nX y: 1',
      '\r\nx_y: 1',
      '\r\nempty:',
      '\r\nEXPECT: 100-continue',
      ' HTTP/1.0',
      'GET ',
      '\r\nHost: b',
    ];
    let accepted = 0;
    for (let round = 0; round < 3000; round++) {
      let head = start;
      for (let change = next(3); change >= 0; change--) {
        const at = next(head.length + 1);
        head = head.slice(0, at) + pick(bits) + head.slice(pick([at, at, at + 1, at + next(9)]));
      }
      const read = head.includes('\r\n\r\n') ? undefined : readPlainHead(head);
      if (!read || read.length > 9) continue;
      accepted++;
      requests.length = bodies.length = 0;
      if (accepted > 300) continue;
      const body = 'abcdefghi'.slice(0, read.length);
      await dial(port, `${head}\r\n\r\n${body}`);
      const [message] = requests;
      expect({
        head,
        method: message?.method,
        url: message?.url,
        headers: message?.headers,
        body: bodies[0],
      }).toEqual({ head, method: 'POST', url: read.url, headers: read.headers, body });
    }
    expect(accepted).toBeGreaterThan(100);
    server.close();
  });

  it('keeps heads that come again, and not without end', () => {
    const heads = new PlainHeads(2);
    const head = (id: string): string => `POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\nx-id: ${id}`;
    const first = heads.read(head('1'));
    expect(heads.read(head('1'))).toBe(first);
    for (const id of ['2', '3', '4']) expect(heads.read(head(id))?.headers['x-id']).toBe(id);
    expect(heads.read(head('1'))).toEqual(first);
    expect(heads.read(head('1'))).not.toBe(first);
  });
});
