import { stat } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { MaasError } from '../../../src/errors.js';
import { listenHttp, type Answer, type HttpFront, type HttpOptions } from '../../../src/stages/serve/http.js';
import { RequestError } from '../../../src/stages/serve/request-error.js';

const fronts: HttpFront[] = [];
afterEach(async () => {
  await Promise.all(fronts.splice(0).map((front) => front.stop(0)));
});

interface Watched {
  readonly front: HttpFront;
  readonly ended: (number | undefined)[];
}

async function listen(options: Partial<HttpOptions> = {}): Promise<Watched> {
  const ended: (number | undefined)[] = [];
  const front = await listenHttp({
    host: '127.0.0.1',
    port: 0,
    maxBodyBytes: 1000,
    answer: ({ method, path, body }) =>
      Promise.resolve({ protocol: 'echo', status: 200, body: `${method} ${path} ${body.length}` }),
    fail: (error): Answer => ({
      protocol: 'maas',
      status: error instanceof RequestError ? error.status : 500,
      body: String(error),
    }),
    onBegin: () => undefined,
    onEnd: (answer) => ended.push(answer?.status),
    onError: () => undefined,
    ...options,
  });
  fronts.push(front);
  return { front, ended };
}

/** A raw connection, and everything that comes back until the server ends it. */
function dial(front: HttpFront, text: string): { socket: Socket; closed: Promise<string> } {
  const socket = connect(Number(new URL(front.url).port), '127.0.0.1');
  socket.write(text);
  let received = '';
  socket.on('data', (chunk) => (received += chunk.toString()));
  socket.on('error', () => undefined);
  return {
    socket,
    closed: new Promise((resolve) =>
      socket.once('close', () => {
        resolve(received);
      }),
    ),
  };
}

const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
};

describe('request bodies', () => {
  it('may be as long as the limit and no longer, declared or chunked', async () => {
    const { front, ended } = await listen();
    const send = (body: Buffer | ReadableStream): Promise<Response> =>
      fetch(`${front.url}/x?y=1`, { method: 'POST', body, duplex: 'half' });
    const chunked = (size: number): ReadableStream =>
      new ReadableStream({
        pull(controller) {
          controller.enqueue(Buffer.alloc(Math.min(size, 100)));
          size -= 100;
          if (size <= 0) controller.close();
        },
      });
    expect(await (await send(Buffer.alloc(1000))).text()).toBe('POST /x 1000');
    expect(await (await send(chunked(1000))).text()).toBe('POST /x 1000');
    expect((await send(Buffer.alloc(1001))).status).toBe(413);
    expect((await send(chunked(1001))).status).toBe(413);
    expect((await send(Buffer.alloc(8_000_000))).status).toBe(413);
    expect(await (await send(Buffer.alloc(1))).text()).toBe('POST /x 1');
    await until(() => ended.length === 6);
  });

  it('that break off count as abandoned and answer nobody', async () => {
    let begun = false;
    const { front, ended } = await listen({ onBegin: () => (begun = true) });
    const { socket, closed } = dial(front, 'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc');
    await until(() => begun);
    socket.destroy();
    await closed;
    await until(() => ended.length === 1);
    expect(ended).toEqual([undefined]);
  });
});

describe('connections', () => {
  it('are kept for the next request', async () => {
    const { front } = await listen();
    const request = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';
    const { closed } = dial(
      front,
      request + request + request.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'),
    );
    expect((await closed).match(/GET \/a 0/g)).toHaveLength(3);
  });

  it('that never finish their header or body are answered 408 and closed', async () => {
    const { front } = await listen({ timeouts: { headers: 100, request: 200 } });
    const inHeader = dial(front, 'POST / HTTP/1.1\r\nhost: x\r\n');
    const inBody = dial(front, 'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc');
    const silent = dial(front, '');
    expect(await inHeader.closed).toContain('408 Request Timeout');
    expect(await inBody.closed).toContain('408 Request Timeout');
    await silent.closed;
  });

  it('that speak no HTTP get 400, with headers too large 431', async () => {
    const { front } = await listen();
    expect(await dial(front, 'hello\r\n\r\n').closed).toMatch(
      /^HTTP\/1.1 400 .*\r\n\r\n\{"error":"bad request"\}$/s,
    );
    const large = `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`;
    expect(await dial(front, large).closed).toContain('431 Request Header Fields Too Large');
  });

  it('get no body in answer to HEAD', async () => {
    const { front } = await listen();
    const { closed } = dial(front, 'HEAD /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    expect(await closed).toMatch(/content-length: 8\r\n.*\r\n\r\n$/s);
  });
});

describe('stop', () => {
  it('lets requests under way finish, and closes idle connections', async () => {
    let release: (() => void) | undefined;
    const blocked = new Promise<void>((resolve) => (release = resolve));
    const { front, ended } = await listen({
      answer: async ({ path }) => {
        if (path === '/slow') await blocked;
        return { protocol: 'slow', status: 200, body: 'done' };
      },
    });
    const idle = dial(front, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    const slow = fetch(`${front.url}/slow`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const stopped = front.stop(5000);
    await idle.closed;
    release?.();
    expect(await (await slow).text()).toBe('done');
    expect(await stopped).toBe(0);
    expect(ended).toEqual([200, 200]);
    await expect(fetch(front.url)).rejects.toThrow();
  });

  it('answers what comes on open connections at the last moment, and tells them to close', async () => {
    const { front } = await listen({ timeouts: { linger: 300 } });
    const { socket, closed } = dial(front, 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n');
    await new Promise((resolve) => setTimeout(resolve, 20));
    const stopped = front.stop(5000);
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.write('GET /b HTTP/1.1\r\nhost: x\r\n\r\n');
    const text = await closed;
    expect(text).toContain('GET /b 0');
    expect(text.match(/connection: (?:keep-alive|close)/gi)).toEqual([
      'Connection: keep-alive',
      'connection: close',
    ]);
    expect(await stopped).toBe(0);
  });

  it.each(['GET', 'POST'])(
    'lets them bring it though runs of a model take the time from them: %s',
    async (method) => {
      const ask = (path: string): string =>
        `${method} ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n`;
      const { front } = await listen({ timeouts: { linger: 60 } });
      const { socket, closed } = dial(front, ask('/a'));
      await new Promise((resolve) => setTimeout(resolve, 20));
      const stopped = front.stop(5000);
      await new Promise((resolve) => setTimeout(resolve, 10));
      // Where the event loop looks for what has come: the next that it does is to end the wait.
      await stat('.');
      const start = performance.now();
      while (performance.now() - start < 80);
      await stat('.');
      socket.write(ask('/b'));
      expect(await closed).toContain(`${method} /b 0`);
      expect(await stopped).toBe(0);
    },
  );

  it('cuts off what is not done in time, and says how many', async () => {
    const { front, ended } = await listen({ answer: () => new Promise(() => undefined) });
    const slow = fetch(front.url);
    slow.catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const start = performance.now();
    expect(await front.stop(150)).toBe(1);
    expect(performance.now() - start).toBeLessThan(1000);
    await expect(slow).rejects.toThrow();
    expect(ended).toEqual([]);
  });
});

describe('addresses', () => {
  const refusal = async (options: Partial<HttpOptions>): Promise<MaasError> => {
    const error = await listen(options).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(MaasError);
    return error as MaasError;
  };

  it('names the port that is taken', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    const error = await refusal({ port });
    await new Promise((resolve) => other.close(resolve));
    expect(error.code).toBe('MAAS_PORT');
    expect(error.exitCode).toBe(4);
    expect(error.message).toContain(`127.0.0.1:${port} is in use`);
  });

  it.each(['203.0.113.7', 'no-such-host.invalid'])('refuses %s, which is not this machine', async (host) => {
    const error = await refusal({ host });
    expect(error.code).toBe('MAAS_PORT');
    expect(error.message).toContain(`${host} is no address of this machine`);
    expect(error.hint).toContain('--host');
  });

  it('gives a URL that can be opened, for the wildcard too', async () => {
    const { front } = await listen({ host: '0.0.0.0' });
    expect(await (await fetch(front.url)).text()).toBe('GET / 0');
  });
});
