import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Column, Dataset, SplitName, Statistics, StoredRows, Table } from '../dataset.js';
import type { DataSchema } from '../describe-schema.js';
import { KeptFolders, onDisk } from '../kept-folders.js';
import type { Signature } from '../signature.js';
import { openColumns, type Layout } from './column-files.js';
import { splitNames } from './encode.js';

/** Raise it when encoded data of before cannot be read any more. */
const version = 1;
/** Encoded data sets that stay. */
const keptSets = 2;

/** What is kept of encoded data beside its columns. The signature lacks the name and the digest. */
export interface Kept {
  readonly layouts: readonly Layout[];
  readonly rows: Readonly<Record<SplitName, number>>;
  /** Rows of validation and test that are measured on, at most. */
  readonly mostHeld?: number;
  readonly signature: Signature;
  readonly statistics: Readonly<Record<string, Statistics>>;
  readonly schema: DataSchema;
  readonly notes: readonly string[];
}

/** Encoded data by the digest of what it was made from: later stages, and a run after a kill, need not do it again. */
export class Shelf {
  readonly #folders: KeptFolders;

  constructor(root: string) {
    this.#folders = new KeptFolders(root, keptSets);
  }

  /** Whether anything is kept at all. */
  isEmpty(): Promise<boolean> {
    return this.#folders.isEmpty();
  }

  async find(digest: string, name: string): Promise<Dataset | undefined> {
    const folder = this.#folders.pathOf(digest);
    try {
      const text = await readFile(join(folder, 'dataset.json'), 'utf8');
      const { version: found, ...kept } = JSON.parse(text) as Kept & { readonly version: number };
      if (found !== version) return undefined;
      const dataset = open(kept, folder, name, digest);
      for (const { path, length } of filesOf(dataset)) {
        if ((await stat(path)).size !== length) return undefined;
      }
      await this.#folders.touch(digest);
      return dataset;
    } catch {
      // Whatever is wrong with it, it can be made again.
      return undefined;
    }
  }

  /** An empty folder to encode into. */
  begin(): Promise<string> {
    return this.#folders.begin();
  }

  /** Keeps what was encoded under its digest, and removes older ones. */
  async keep(folder: string, kept: Kept, digest: string, name: string): Promise<Dataset> {
    await onDisk(async () => {
      const used = new Set(filesOf(open(kept, folder, name, digest)).map(({ path }) => path));
      for (const file of await readdir(folder)) {
        if (!used.has(join(folder, file))) await rm(join(folder, file));
      }
      await writeFile(join(folder, 'dataset.json'), JSON.stringify({ version, ...toJson(kept) }));
    });
    await this.#folders.keep(folder, digest);
    return open(kept, this.#folders.pathOf(digest), name, digest);
  }
}

/** Typed arrays become lists; numbers read back as the same. */
function toJson({ statistics, ...kept }: Kept): object {
  const lists = Object.entries(statistics).map(([name, { mean, deviation }]) => [
    name,
    { mean: [...mean], deviation: [...deviation] },
  ]);
  return { ...kept, statistics: Object.fromEntries(lists) as object };
}

function open(kept: Kept, folder: string, name: string, digest: string): Dataset {
  const { schema, notes, signature } = kept;
  const statistics = Object.entries(kept.statistics).map(([input, { mean, deviation }]) => [
    input,
    { mean: Float32Array.from(mean), deviation: Float32Array.from(deviation) },
  ]);
  const tables = splitNames.map((split): [SplitName, Table] => {
    const all = openColumns(folder, split, kept.layouts, kept.rows[split]);
    const rows = split === 'train' ? kept.rows.train : Math.min(kept.rows[split], kept.mostHeld ?? Infinity);
    const columns = all.map((column): Column => ({ ...column, dims: [rows, ...column.dims.slice(1)] }));
    const inputs = signature.inputs.map((port, index): [string, Column] => [port.name, columns[index]!]);
    const [target, lines] = columns.slice(-2) as [Column, Column];
    return [split, { rows, lines: lines.data as StoredRows, inputs: Object.fromEntries(inputs), target }];
  });
  return {
    digest,
    signature: { ...signature, name, data: { digest } },
    statistics: Object.fromEntries(statistics) as Dataset['statistics'],
    schema,
    notes,
    splits: Object.fromEntries(tables) as Dataset['splits'],
  };
}

function filesOf({ splits }: Dataset): StoredRows[] {
  return Object.values(splits).flatMap(({ inputs, target, lines }) => [
    ...[...Object.values(inputs), target].map(({ data }) => data as StoredRows),
    lines as StoredRows,
  ]);
}
