/**
 * The public API of maas: what plugins, and the built-ins alike, are written against. `import … from 'maas-cli'`.
 *
 * A plugin is an npm package with an oclif hook in its package.json,
 *
 *     "oclif": {"hooks": {"maas:register": "./register.js"}}
 *
 * whose default export answers with a `Registration`. A project uses it by naming it in maas.config.yaml:
 *
 *     plugins: [maas-plugin-example, ./plugins/mine]
 */

// ————— what a plugin brings —————
export * from './api.js';
export type { ProgressEvent } from './events.js';
export type { RegisterHook } from './hook.js';

// ————— its options and its errors —————
/** The zod that maas validates with: schemas must be made by it, or by another zod 4. */
export { z } from 'zod';
export { named, type Named, type NamedDefinition } from '../config/named.js';
export { MaasError, type ErrorCode, type MaasErrorOptions, type Place } from '../errors.js';

// ————— artifacts and data —————
export type { Artifact, ArtifactStore, Json, Manifest } from '../artifacts/index.js';
export {
  loadDataset,
  readSignature,
  type Dataset,
  type Feature,
  type Port,
  type Signature,
  type SplitName,
  type Table,
} from '../data/index.js';

// ————— models —————
export * from '../ir/graph.js';
export {
  dtypes,
  fromNdArray,
  int64s,
  isNumeric,
  numbersOf,
  scalar,
  sizeOf,
  stringTensor,
  tensor,
  toNdArray,
  valuesOf,
  type DType,
  type NdArray,
  type NumericDType,
  type Tensor,
  type TypedArray,
} from '../ir/tensor.js';
export { GraphBuilder, type NodeOptions } from '../ir/builder.js';
export { decodeModel, loadModel, loadTensor, loadWeights } from '../ir/onnx/load.js';
export { encodeModel, saveModel } from '../ir/onnx/save.js';
export { printModel } from '../ir/print.js';
export { inferTypes } from '../ir/shapes.js';
export { gradients } from '../ir/gradient.js';
export { losses } from '../ir/losses.js';
export { optimizers } from '../ir/optimizers.js';
export {
  freshNames,
  liftConstants,
  removeDead,
  renameReads,
  replaceNodes,
  sortNodes,
  type Replacement,
} from '../ir/rewrite.js';

// ————— running and measuring them —————
export { openSession, type Feeds, type Session, type SessionOptions } from '../runtime/session.js';
export { compare, evaluate, predict, score, type Predictions } from '../evaluate/index.js';
