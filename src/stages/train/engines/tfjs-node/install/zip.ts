import { createWriteStream } from 'node:fs';
import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';

/** A file in a ZIP archive. */
export interface Entry {
  readonly name: string;
  readonly compressed: number;
  readonly method: number;
  /** Where its local header begins. */
  readonly offset: number;
}

const endSignature = 0x06054b50;
const centralSignature = 0x02014b50;
/** The end record, and the longest comment that may follow it. */
const endSize = 22;
const longestComment = 0xffff;

/**
 * Lists a ZIP archive of less than 4 GiB (APPNOTE.TXT 4.3; wheels are such).
 * @throws Error when the file is none.
 */
export async function listZip(path: string): Promise<Entry[]> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const tail = await readAt(file, Math.max(0, size - endSize - longestComment), size);
    let at = tail.length - endSize;
    while (at >= 0 && tail.readUInt32LE(at) !== endSignature) at--;
    if (at < 0) throw new Error(`${path} is no ZIP archive`);
    const start = tail.readUInt32LE(at + 16);
    const directory = await readAt(file, start, start + tail.readUInt32LE(at + 12));
    const entries: Entry[] = [];
    for (let from = 0; from + 46 <= directory.length;) {
      if (directory.readUInt32LE(from) !== centralSignature) throw new Error(`${path} is damaged`);
      const [name, extra, comment] = [28, 30, 32].map((place) => directory.readUInt16LE(from + place));
      entries.push({
        name: directory.toString('utf8', from + 46, from + 46 + name!),
        method: directory.readUInt16LE(from + 10),
        compressed: directory.readUInt32LE(from + 20),
        offset: directory.readUInt32LE(from + 42),
      });
      from += 46 + name! + extra! + comment!;
    }
    return entries;
  } finally {
    await file.close();
  }
}

/** Writes an entry of an archive to a file, as a stream: libraries have hundreds of megabytes. */
export async function extract(
  path: string,
  { offset, compressed, method }: Entry,
  to: string,
): Promise<void> {
  if (method !== 0 && method !== 8) throw new Error(`${path} is packed by method ${method}`);
  await mkdir(dirname(to), { recursive: true });
  const file = await open(path);
  try {
    const header = await readAt(file, offset, offset + 30);
    const start = offset + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
    const sink = createWriteStream(to);
    if (compressed === 0) await pipeline([], sink);
    else {
      const bytes = file.createReadStream({ start, end: start + compressed - 1, autoClose: false });
      await (method === 8 ? pipeline(bytes, createInflateRaw(), sink) : pipeline(bytes, sink));
    }
  } finally {
    await file.close();
  }
}

async function readAt(file: FileHandle, from: number, to: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(to - from), 0, to - from, from);
  return buffer.subarray(0, bytesRead);
}
