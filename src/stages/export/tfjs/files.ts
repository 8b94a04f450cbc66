import { MaasError } from '../../../errors.js';
import { encodeGraphModel } from '../../../ir/tfjs/encode-graph-model.js';
import { toGraphModel, type GraphModel } from '../../../ir/tfjs/graph-model.js';
import type { Subject } from '../formats.js';
import { predictModule } from './predict-module.js';
import { readme } from './readme.js';

/**
 * The files of a folder for TensorFlow.js: a graph model, what it takes and gives, and, where the model says of what
 * features its inputs consist, a module that takes rows as `POST /predict` does.
 * @throws MaasError MAAS_MODEL_UNSUPPORTED by node.
 */
export function describeGraphModel(subject: Subject): Map<string, Uint8Array> {
  const made = convert(subject);
  const signature = describeSignature(subject, made);
  const texts: Record<string, string> = {
    'signature.json': `${JSON.stringify(signature, null, 2)}\n`,
    ...(subject.signature && { 'predict.js': predictModule(signature) }),
    'README.md': readme(subject, made),
  };
  const files = encodeGraphModel(made, `maas ${subject.version}`);
  for (const [file, text] of Object.entries(texts)) files.set(file, Buffer.from(text));
  return files;
}

function convert({ model }: Subject): GraphModel {
  try {
    return toGraphModel(model);
  } catch (error) {
    if (!(error instanceof MaasError) || error.code !== 'MAAS_MODEL_UNSUPPORTED') throw error;
    throw new MaasError(error.code, error.message, {
      cause: error,
      hint: error.message.includes('are open') ? error.hint : hintFor(error.message),
    });
  }
}

function hintFor(message: string): string {
  if (/quantize|integer|qlinear/i.test(message))
    return 'Export the model as it was before it was quantized: --stage train.';
  if (/string|text|hash|tfidf/i.test(message))
    return 'Texts that are looked into stay outside of TensorFlow.js: give the model numbers or categories, or export with --format onnx (onnxruntime-web runs it).';
  return 'Export it with --format onnx: onnxruntime-web runs it in browsers.';
}

/** What the model takes and gives, in the words of signature.json, with the numbers that texts became. */
export function describeSignature(
  { name, signature }: Subject,
  { inputs, outputs, categories, labels }: GraphModel,
): object {
  return {
    ...(signature ?? { schemaVersion: 1, name }),
    inputs: inputs.map((input) => ({
      ...input,
      ...(categories[input.name] && { categories: categories[input.name] }),
    })),
    outputs: outputs.map((output) => ({
      ...output,
      ...(labels[output.name] && { labels: labels[output.name] }),
    })),
  };
}
