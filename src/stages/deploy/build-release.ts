import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readEntry } from '../../artifacts/digest.js';
import { listTree, onDisk } from '../../artifacts/durable.js';
import { type Artifact, digestFile } from '../../artifacts/index.js';
import { type DataConfig, loadDataset, readSignature } from '../../data/index.js';
import { MaasError } from '../../errors.js';
import type { StageRun } from '../../plugin/api.js';
import { describeRelease, materialsName } from './bill-of-materials.js';
import type { DeployOptions } from './config.js';
import { makeGolden } from './golden.js';
import { readSigningKey } from './keys.js';
import { provenanceName, writeProvenance } from './provenance.js';
import { makeReference } from './reference.js';

/**
 * Copies the model and its signature as they are, and records what else the release tells: the figures that the stages
 * before measured.
 */
export async function copyModel({ inputs, out, result }: StageRun<DeployOptions>): Promise<void> {
  const model = inputs.model!;
  const files = Object.keys(model.manifest.files).filter(
    // External data lies beside the model under its name.
    (file) => file === 'signature.json' || file === 'model.onnx' || file.startsWith('model.onnx.'),
  );
  await onDisk('cannot write the release', async () => {
    for (const file of files) {
      await mkdir(dirname(join(out, file)), { recursive: true });
      await copyFile(join(model.path, file), join(out, file));
    }
  });
  Object.assign(result.metrics, model.manifest.metrics);
}

/**
 * Writes golden.json from held-out rows, and reference.json, which a server compares with what it sees.
 * @returns the number of golden rows.
 * @throws MaasError MAAS_DATA_CHANGED when the data is not what the model was trained on.
 */
export async function writeGolden({
  project,
  inputs,
  out,
  signal,
}: StageRun<DeployOptions>): Promise<number> {
  const { root, seed, name, config } = project;
  const signature = await readSignature(join(out, 'signature.json'));
  const dataset = await loadDataset(config['data'] as DataConfig, { root, seed, name, signal });
  if (dataset.digest !== signature.data.digest) throw dataChanged(inputs.model!);
  const file = join(out, 'model.onnx');
  const { signalToNoise } = inputs.model!.manifest.metrics;
  const golden = await makeGolden(file, signature, dataset.splits.test, signalToNoise);
  const reference = await makeReference(file, signature, dataset.splits, signal);
  await onDisk('cannot write the release', async () => {
    await writeFile(join(out, 'golden.json'), `${JSON.stringify(golden)}\n`);
    await writeFile(join(out, 'reference.json'), `${JSON.stringify(reference)}\n`);
  });
  return golden.rows.length;
}

/** Writes the bill of materials and, over all that lies there by then, the provenance. */
export async function writeOrigin({
  project,
  options,
  inputs,
  out,
  signal,
}: StageRun<DeployOptions>): Promise<void> {
  const model = inputs.model!;
  const key = await readSigningKey(project, options);
  const signature = await readSignature(join(out, 'signature.json'));
  await onDisk('cannot write the release', async () => {
    const digest = await digestFile(join(out, 'model.onnx'), { signal });
    await writeFile(join(out, materialsName), describeRelease(model, signature, digest));
    const entries = (await listTree(out)).files.map(
      async (file) => [file, await readEntry(join(out, file), { signal })] as const,
    );
    const files = Object.fromEntries(await Promise.all(entries));
    const { name, seed } = project;
    await writeFile(join(out, provenanceName), writeProvenance(files, { name, seed, model, signature }, key));
  });
}

function dataChanged(model: Artifact): MaasError {
  return new MaasError(
    'MAAS_DATA_CHANGED',
    `the data has changed since model ${model.digest.slice(0, 12)} was trained`,
  );
}
