import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { canonicalJson } from './canonical-json.js';
import type { FileEntry } from './manifest.js';

const blockSize = 1 << 20;

/** A sha256 in hexadecimal. */
export function isDigest(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

/**
 * sha256 in hexadecimal: of the bytes themselves, or of any other value in canonical JSON (so a string counts as a
 * JSON string, with its quotes).
 */
export function digestOf(value: unknown): string {
  const bytes = value instanceof Uint8Array ? value : canonicalJson(value);
  return createHash('sha256').update(bytes).digest('hex');
}

/** sha256 of a file's bytes in hexadecimal, read in blocks: the file may be larger than memory. */
export async function digestFile(path: string, options: { signal?: AbortSignal } = {}): Promise<string> {
  return (await readEntry(path, options)).sha256;
}

/**
 * Digest and size of a file, read through one handle.
 * @param options.sync Also have the file's content on the disk when the promise resolves.
 */
export async function readEntry(
  path: string,
  options: { signal?: AbortSignal; sync?: boolean } = {},
): Promise<FileEntry> {
  // Windows flushes only what is open for writing; elsewhere reading is enough, and a file may be read-only.
  const file = await open(path, options.sync === true && process.platform === 'win32' ? 'r+' : 'r');
  try {
    const hash = createHash('sha256');
    const block = Buffer.allocUnsafe(blockSize);
    let size = 0;
    for (;;) {
      options.signal?.throwIfAborted();
      const { bytesRead } = await file.read(block, 0, blockSize, null);
      if (bytesRead === 0) break;
      hash.update(block.subarray(0, bytesRead));
      size += bytesRead;
    }
    if (options.sync === true) await file.sync();
    return { sha256: hash.digest('hex'), size };
  } finally {
    await file.close();
  }
}
