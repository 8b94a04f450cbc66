import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path/posix';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { type Header, type Pack, pack as createPack } from 'tar-stream';

/** A file of a layer: where it goes, and its bytes or the file that has them. */
export interface LayerFile {
  /** Relative to the image's root, with forward slashes. */
  readonly path: string;
  readonly from: string | Uint8Array;
  readonly executable?: boolean;
}

/**
 * The files as a tar that tells nothing of the machine it was made on: entries sorted by bytes, folders before what is
 * in them, no times, no owners, two modes.
 */
export function packLayer(files: readonly LayerFile[], signal?: AbortSignal): Readable {
  return Readable.from(tarBlocks(files, signal));
}

async function* tarBlocks(files: readonly LayerFile[], signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const pack = createPack();
  const writing = writeEntries(pack, files, signal).catch((error: unknown) => {
    pack.destroy(error as Error);
  });
  yield* pack as unknown as AsyncIterable<Uint8Array>;
  await writing;
}

async function writeEntries(pack: Pack, files: readonly LayerFile[], signal?: AbortSignal): Promise<void> {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const folders = new Set(files.flatMap(({ path }) => foldersOf(path)));
  for (const path of [...folders, ...byPath.keys()].sort(compareBytes)) {
    signal?.throwIfAborted();
    const file = byPath.get(path);
    if (file === undefined) await addEntry(pack, header(`${path}/`, 'directory', 0, 0o755));
    else await addFile(pack, file);
  }
  pack.finalize();
}

async function addFile(pack: Pack, { path, from, executable }: LayerFile): Promise<void> {
  const mode = executable === true ? 0o755 : 0o644;
  if (typeof from !== 'string') {
    await addEntry(pack, header(path, 'file', from.byteLength, mode), [from]);
    return;
  }
  const { size } = await stat(from);
  await addEntry(pack, header(path, 'file', size, mode), createReadStream(from, { highWaterMark: 1 << 18 }));
}

/** @throws when the content has another length than the header says: a file that changes while it is read. */
function addEntry(
  pack: Pack,
  head: EntryHeader,
  content: Iterable<Uint8Array> | AsyncIterable<Uint8Array> = [],
): Promise<void> {
  return new Promise((resolve, reject) => {
    const entry = pack.entry(head, (error) => {
      if (error) reject(error);
      else resolve();
    });
    const write = async (): Promise<void> => {
      for await (const chunk of content) {
        if (entry.write(chunk)) continue;
        await new Promise<void>((resume) => {
          entry.once('drain', () => {
            resume();
          });
        });
      }
      entry.end(null);
    };
    write().catch(reject);
  });
}

type EntryHeader = Partial<Header> & Pick<Header, 'name'>;

function header(name: string, type: 'file' | 'directory', size: number, mode: number): EntryHeader {
  return { name, type, size, mode, mtime: new Date(0), uid: 0, gid: 0, uname: '', gname: '' };
}

function foldersOf(path: string): string[] {
  const folders: string[] = [];
  for (let folder = dirname(path); folder !== '.'; folder = dirname(folder)) folders.push(folder);
  return folders;
}

function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** sha256 of everything that a stream yields, as `sha256:…`. */
export async function digestStream(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of stream) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
}

/** gzip with a header that is the same everywhere: no name, no time, and "unknown" for the operating system. */
export async function* gzipEvenly(stream: Readable): AsyncGenerator<Uint8Array> {
  const gzip = createGzip({ level: 6, chunkSize: 1 << 18 });
  const fed = pipeline(stream, gzip).catch(() => undefined);
  let first = true;
  for await (const chunk of gzip as AsyncIterable<Buffer>) {
    // Node leaves name and time out; byte 9 names the operating system.
    if (first) chunk[9] = 255;
    first = false;
    yield chunk;
  }
  await fed;
}
