import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createNetServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { execa } from 'execa';

/** Says on stderr what a test does without, and returns whether the program is there. */
export function hasProgram(name: string): boolean {
  const there = spawnSync('which', [name]).status === 0;
  if (!there) process.stderr.write(`skipped: ${name} is not installed\n`);
  return there;
}

async function sparePort(): Promise<number> {
  const server = createNetServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * Debian's docker-registry on a spare port, with its files in `root`.
 * @param auth Its `auth` section, as a line of YAML.
 */
export async function startRegistry(
  root: string,
  auth = '',
): Promise<{ host: string; stop: () => Promise<void> }> {
  const host = `127.0.0.1:${await sparePort()}`;
  const file = join(root, 'registry.yml');
  await writeFile(
    file,
    `version: 0.1\nstorage: {filesystem: {rootdirectory: ${join(root, 'registry')}}, delete: {enabled: true}}\n` +
      `http: {addr: '${host}'}\nlog: {level: error}\n${auth}\n`,
  );
  const child = execa('docker-registry', ['serve', file], { reject: false, stdio: 'ignore' });
  for (let tries = 0; tries < 200; tries += 1) {
    const up = await fetch(`http://${host}/v2/`).then(
      ({ status }) => status === 200 || status === 401,
      () => false,
    );
    if (up) break;
    await wait(25);
  }
  return {
    host,
    async stop() {
      child.kill('SIGKILL');
      await child;
    },
  };
}

export type Fault = (
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
) => boolean | Promise<boolean>;

/** Stands before a registry: counts what is sent, and first asks `fault`, which answers instead or not at all. */
export class FaultyRegistry {
  /** Bytes of request bodies. */
  sent = 0;
  fault: Fault = () => false;
  private readonly server: Server;

  constructor(private readonly upstream: string) {
    this.server = createServer((request, response) => void this.pass(request, response));
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    this.sent += body.byteLength;
    if (await this.fault(request, response, body)) return;
    const { status, headers, content } = await this.forward(request, body);
    response.writeHead(status, headers).end(content);
  }

  /** Hands a request on to the registry; its Locations point back to us. */
  async forward(request: IncomingMessage, body: Buffer) {
    const host = request.headers.host ?? '';
    // These are of the connection, not of the message.
    const own = new Set(['host', 'connection', 'transfer-encoding', 'content-length']);
    const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !own.has(name)));
    const method = request.method!;
    const answer = await fetch(`http://${this.upstream}${request.url}`, {
      method,
      headers: headers as Record<string, string>,
      ...(method !== 'GET' && method !== 'HEAD' && { body: new Uint8Array(body) }),
    });
    const told = Object.fromEntries(answer.headers);
    if (told['location'] !== undefined) told['location'] = told['location'].replace(this.upstream, host);
    const content = Buffer.from(await answer.arrayBuffer());
    return { status: answer.status, headers: told, content };
  }
}
