import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { onDisk, syncFolder } from '../../artifacts/durable.js';
import { readSignature, type Signature } from '../../data/index.js';
import { MaasError } from '../../errors.js';
import type { Model } from '../../ir/graph.js';
import { loadModel, loadWeights } from '../../ir/onnx/load.js';
import { fixSizes } from './fix-sizes.js';
import { formats, type FormatName } from './formats.js';

export interface ExportOrder {
  /** The ONNX file. Of one that maas has written, signature.json lies beside it. */
  readonly model: string;
  readonly name: string;
  readonly format: FormatName;
  /** The file or folder to write. */
  readonly out: string;
  /** Sizes for those that the model leaves open, by name. */
  readonly sizes: Readonly<Record<string, number>>;
  /** Write over what is there. */
  readonly force: boolean;
  /** Version of maas. */
  readonly version: string;
}

export interface Exported {
  readonly path: string;
  /** Relative to the path's folder, or to the path where that is a folder. */
  readonly files: readonly string[];
  readonly bytes: number;
  readonly model: Model;
}

/**
 * Writes a model down in another format, whole or not at all.
 * @throws MaasError MAAS_TARGET_NOT_EMPTY, MAAS_MODEL_INVALID, MAAS_MODEL_UNSUPPORTED, MAAS_USAGE, MAAS_DISK.
 */
export async function exportModel(order: ExportOrder): Promise<Exported> {
  const { model: file, name, format: formatName, out, sizes, force, version } = order;
  const format = formats[formatName];
  if (!force && existsSync(out) && (!format.isFolder || !(await isEmptyFolder(out)))) {
    throw new MaasError('MAAS_TARGET_NOT_EMPTY', `${out} is there already`, {
      hint: 'Name another target with --out, or pass --force to write over it.',
    });
  }
  const model = fixSizes(await loadWeights(await loadModel(file)), sizes);
  const signature = await signatureOf(file);
  const subject = { name, model, version, ...(signature && { signature }) };
  return onDisk(`cannot write ${out}`, async () => {
    const parent = dirname(out);
    await mkdir(parent, { recursive: true });
    const draft = await mkdtemp(join(parent, '.maas-'));
    try {
      const made = join(draft, basename(out));
      if (format.isFolder) await mkdir(made);
      await format.write(subject, made);
      const files = (await readdir(format.isFolder ? made : draft)).sort();
      let bytes = 0;
      for (const each of files) bytes += (await stat(join(format.isFolder ? made : draft, each))).size;
      if (format.isFolder) await bringFolder(made, files, out);
      // External data comes first: a file is of use only with it.
      else for (const each of [...files].reverse()) await rename(join(draft, each), join(parent, each));
      await syncFolder(parent);
      return { path: out, files, bytes, model };
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
  });
}

/** Files that are there already and are no part of the export stay, but for weights of an earlier one. */
async function bringFolder(made: string, files: readonly string[], out: string): Promise<void> {
  await mkdir(out, { recursive: true });
  // What names the others comes last.
  const ordered = [...files].sort((a, b) => Number(a === 'model.json') - Number(b === 'model.json'));
  for (const file of ordered) await rename(join(made, file), join(out, file));
  for (const file of await readdir(out)) {
    if (/^group1-shard\d+of\d+\.bin$/.test(file) && !files.includes(file)) await rm(join(out, file));
  }
  await syncFolder(out);
}

async function isEmptyFolder(path: string): Promise<boolean> {
  return (await stat(path)).isDirectory() && (await readdir(path)).length === 0;
}

/** Of a model in the folder of an artifact or a release. */
async function signatureOf(file: string): Promise<Signature | undefined> {
  const beside = join(dirname(file), 'signature.json');
  return basename(file) === 'model.onnx' && existsSync(beside) ? readSignature(beside) : undefined;
}
