import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { download } from '../../../../../src/stages/train/engines/tfjs-node/install/download.js';
import { extract, listZip } from '../../../../../src/stages/train/engines/tfjs-node/install/zip.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-install-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const content = Buffer.from(Array.from({ length: 50_000 }, (_, at) => at * at));
const digest = createHash('sha256').update(content).digest('hex');

describe('download', () => {
  let server: Server;
  let url: string;
  /** Bytes after which the server hangs up. */
  let breakAfter = Infinity;
  const asked: (string | undefined)[] = [];
  const to = () => join(root, 'file');
  const get = (changes = {}) => {
    const none = () => undefined;
    const signal = new AbortController().signal;
    return download({ url, sha256: digest, to: to(), signal, onProgress: none, ...changes });
  };

  beforeAll(async () => {
    server = createServer((request, response) => {
      const { range } = request.headers;
      asked.push(range);
      const start = Number(/bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0);
      if (start >= content.length) return response.writeHead(416).end();
      const rest = content.subarray(start);
      response.writeHead(range === undefined ? 200 : 206, { 'content-length': rest.length });
      if (breakAfter >= rest.length) return response.end(rest);
      return response.write(rest.subarray(0, breakAfter), () => setTimeout(() => response.destroy(), 50));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/file`;
  });
  afterAll(() => server.close());
  beforeEach(async () => {
    breakAfter = Infinity;
    asked.length = 0;
    for (const name of ['file', 'file.part']) await rm(join(root, name), { force: true });
  });

  it('goes on where it was cut off', async () => {
    breakAfter = 20_000;
    await expect(get()).rejects.toMatchObject({ code: 'MAAS_DOWNLOAD' });
    const had = (await stat(`${to()}.part`)).size;
    expect(had).toBeGreaterThan(0);
    breakAfter = Infinity;
    await get();
    expect(asked).toEqual([undefined, `bytes=${had}-`]);
    expect(await readFile(to())).toEqual(content);
    await get();
    expect(asked, 'what is there is not fetched again').toHaveLength(2);
  });

  it('takes a whole part as it is', async () => {
    await writeFile(`${to()}.part`, content);
    await get();
    expect(await readFile(to())).toEqual(content);
  });

  it('refuses a file with another digest, and begins anew after it', async () => {
    await writeFile(`${to()}.part`, 'not the beginning of it');
    await expect(get()).rejects.toThrow('sha256');
    await get();
    expect(await readFile(to())).toEqual(content);
  });

  it('names a host that does not answer', async () => {
    const failed = get({ url: 'http://127.0.0.1:9/file' });
    await expect(failed).rejects.toThrow('cannot download');
  });
});

/** One file in a ZIP archive, by APPNOTE.TXT. */
function zip(name: string, data: Buffer, method: 0 | 8): Buffer {
  const packed = method === 8 ? deflateRawSync(data) : data;
  const [local, central, end] = [Buffer.alloc(30), Buffer.alloc(46), Buffer.alloc(22)];
  local.writeUInt32LE(0x04034b50);
  local.writeUInt16LE(name.length, 26);
  central.writeUInt32LE(0x02014b50);
  central.writeUInt16LE(method, 10);
  central.writeUInt32LE(packed.length, 20);
  central.writeUInt16LE(name.length, 28);
  end.writeUInt32LE(0x06054b50);
  end.writeUInt32LE(46 + name.length, 12);
  end.writeUInt32LE(30 + name.length + packed.length, 16);
  return Buffer.concat([
    local,
    Buffer.from(name),
    packed,
    central,
    Buffer.from(name),
    end,
    Buffer.from('a comment'),
  ]);
}

describe('a ZIP archive', () => {
  it.each([
    ['packed', content, 8],
    ['as it is', content, 0],
    ['empty', Buffer.alloc(0), 0],
  ] as const)('gives its files: %s', async (_, data, method) => {
    const [path, to] = [join(root, 'archive.zip'), join(root, 'out', 'it')];
    await writeFile(path, zip('a/name.so', data, method));
    const [entry] = await listZip(path);
    expect(entry?.name).toBe('a/name.so');
    await extract(path, entry!, to);
    expect(await readFile(to)).toEqual(data);
  });

  it('is told from other files', async () => {
    await writeFile(join(root, 'other'), 'text');
    await expect(listZip(join(root, 'other'))).rejects.toThrow('no ZIP archive');
  });
});
