import { extname } from 'node:path';

/** How a source is written, by the end of its name. */
export interface Format {
  readonly kind: 'delimited' | 'lines' | 'parquet' | 'npz' | 'npy' | 'idx' | 'folder';
  /** Between fields of delimited text, unless the config says otherwise. */
  readonly delimiter: string;
  readonly gzip: boolean;
}

const kinds: Readonly<Record<string, Omit<Format, 'gzip'>>> = {
  '.csv': { kind: 'delimited', delimiter: ',' },
  '.tsv': { kind: 'delimited', delimiter: '\t' },
  '.txt': { kind: 'delimited', delimiter: ',' },
  '.data': { kind: 'delimited', delimiter: ',' },
  '.jsonl': { kind: 'lines', delimiter: '' },
  '.ndjson': { kind: 'lines', delimiter: '' },
  '.parquet': { kind: 'parquet', delimiter: '' },
  '.npz': { kind: 'npz', delimiter: '' },
  '.npy': { kind: 'npy', delimiter: '' },
  '.idx': { kind: 'idx', delimiter: '' },
  // As the files of MNIST are named: train-images-idx3-ubyte.
  '-ubyte': { kind: 'idx', delimiter: '' },
};

/** Endings of `data.source` that there is a reader for. */
export const extensions = [...Object.keys(kinds), '.csv.gz', '.tsv.gz', '.jsonl.gz'];

/** The format that the name of a source tells, or undefined. What has no ending, or ends in a slash, is a folder. */
export function formatOf(path: string): Format | undefined {
  const name = path.toLowerCase();
  const folder = { kind: 'folder', delimiter: '', gzip: false } as const;
  if (/[/\\]$/.test(name)) return folder;
  const gzip = name.endsWith('.gz');
  const bare = gzip ? name.slice(0, -3) : name;
  const found = Object.entries(kinds).find(([ending]) => bare.endsWith(ending));
  if (found) return { ...found[1], gzip };
  return extname(name) === '' ? folder : undefined;
}

/** Whether a source is a folder of images. */
export function isFolder(path: string): boolean {
  return formatOf(path)?.kind === 'folder';
}

/** Whether a source holds arrays, not a table. */
export function holdsArrays(path: string): boolean {
  return ['npz', 'npy', 'idx'].includes(formatOf(path)?.kind ?? '');
}

/** Bytes that a source takes in memory as text, roughly: tables shrink to a fifth. */
export function expandedSize(path: string, bytes: number): number {
  const format = formatOf(path);
  return format?.gzip || format?.kind === 'parquet' ? 5 * bytes : bytes;
}
