import { mkdir, open, rename, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MaasError } from '../../../errors.js';

export interface SampleLogOptions {
  readonly file: string;
  /** Of the file and the one before it together. */
  readonly maxBytes: number;
  /** Told of lines that are not written, and why. */
  readonly onDropped: (lines: number, error?: Error) => void;
}

/** Bytes that may wait for the disk. */
const mostWaiting = 4 * 1024 * 1024;

/**
 * Appends lines to a file, which becomes FILE.1 when it has half of the bytes, in the place of the one before. Nobody waits
 * for the disk: lines that it is too slow for, or has no room for, are dropped and counted.
 */
export class SampleLog {
  readonly #options: SampleLogOptions;
  #file: FileHandle;
  /** Of the file, in bytes. */
  #size: number;
  #waiting: string[] = [];
  #bytes = 0;
  #writing: Promise<void> | undefined;
  /** Something was written in part: the next line begins anew. */
  #broken = false;

  private constructor(options: SampleLogOptions, file: FileHandle, size: number) {
    this.#options = options;
    this.#file = file;
    this.#size = size;
  }

  /** @throws MaasError MAAS_USAGE when the file cannot be written. */
  static async open(options: SampleLogOptions): Promise<SampleLog> {
    try {
      await mkdir(dirname(options.file), { recursive: true });
      const file = await open(options.file, 'a', 0o600);
      return new SampleLog(options, file, (await file.stat()).size);
    } catch (error) {
      throw new MaasError('MAAS_USAGE', `serve.sample.file cannot be written: ${(error as Error).message}`, {
        place: { file: options.file },
        hint: 'Name a file in a folder that this user may write to.',
        cause: error,
      });
    }
  }

  /** Takes a line, without its end. */
  write(line: string): void {
    const length = Buffer.byteLength(line) + 1;
    if (this.#bytes + length > Math.min(mostWaiting, this.#options.maxBytes / 2)) {
      this.#options.onDropped(1);
      return;
    }
    this.#waiting.push(line);
    this.#bytes += length;
    this.#writing ??= this.#writeAll();
  }

  /** Resolves when what was taken is written. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#file.close().catch(() => undefined);
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const lines = this.#waiting.splice(0);
      const bytes = Buffer.from(`${this.#broken ? '\n' : ''}${lines.join('\n')}\n`);
      try {
        if (this.#size > 0 && this.#size + bytes.length > this.#options.maxBytes / 2) await this.#rotate();
        this.#broken = true;
        await this.#file.appendFile(bytes);
        this.#broken = false;
        this.#size += bytes.length;
      } catch (error) {
        this.#size = await this.#file.stat().then(
          ({ size }) => size,
          () => this.#size,
        );
        this.#options.onDropped(lines.length, error as Error);
      }
      this.#bytes = this.#waiting.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0);
    }
    // At once: a line that came between would wait for the next.
    this.#writing = undefined;
  }

  async #rotate(): Promise<void> {
    const { file } = this.#options;
    await rename(file, `${file}.1`).catch((error: unknown) => {
      // Somebody took it away already.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    });
    const next = await open(file, 'a', 0o600);
    await this.#file.close().catch(() => undefined);
    this.#file = next;
    this.#size = (await stat(file)).size;
  }
}
