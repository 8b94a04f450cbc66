import { type Artifact, canonicalJson } from '../../artifacts/index.js';
import type { Signature } from '../../data/index.js';
import { isBrief } from '../../evaluate/figures.js';
import { readToolchain } from '../toolchain.js';

export const materialsName = 'sbom.cdx.json';

/**
 * What a release is made of, as CycloneDX 1.5: the model with its figures, the data it was trained on, and what made and runs it. It
 * tells no time and has no serial number, so that the same release has the same bill of materials.
 * @param digest sha256 of model.onnx.
 */
export function describeRelease(model: Artifact, signature: Signature, digest: string): string {
  const { maas, onnxruntime } = readToolchain();
  const { name, task, inputs, outputs, data } = signature;
  const hashes = (content: string) => [{ alg: 'SHA-256', content }];
  const figures = Object.entries(model.manifest.metrics).filter(
    (entry): entry is [string, number] => typeof entry[1] === 'number' && isBrief(entry[0]),
  );
  const format = ({ dtype, shape }: Signature['inputs'][number]) => ({
    format: `${dtype}[${shape.join(', ')}]`,
  });
  return canonicalJson({
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: {
      component: {
        type: 'machine-learning-model',
        'bom-ref': 'model.onnx',
        name,
        version: model.digest,
        hashes: hashes(digest),
        modelCard: {
          modelParameters: {
            task,
            datasets: [{ ref: 'data' }],
            inputs: inputs.map(format),
            outputs: outputs.map(format),
          },
          quantitativeAnalysis: {
            performanceMetrics: figures.map(([type, value]) => ({ type, value: String(value) })),
          },
        },
      },
    },
    components: [
      { type: 'data', 'bom-ref': 'data', name: `${name} data`, hashes: hashes(data.digest) },
      library('maas-cli', maas),
      library('onnxruntime-node', onnxruntime),
    ],
    dependencies: [{ ref: 'model.onnx', dependsOn: ['data'] }],
  });
}

function library(name: string, version: string): object {
  const purl = `pkg:npm/${name}@${version}`;
  return { type: 'library', 'bom-ref': purl, name, version, purl };
}
