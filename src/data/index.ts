/** Sources on disk → checked, split, encoded rows. */
export { dataSchema, type DataConfig } from './config.js';
export type { Dataset, SplitName, Statistics, Table } from './dataset.js';
export type { ColumnSchema, DataSchema } from './describe-schema.js';
export { encodeRows, type EncodedRows, type FieldError } from './encode-rows.js';
export { digestDataset, loadDataset, type LoadOptions } from './load.js';
export { readUnlabelled } from './unlabelled.js';
export { readSignature } from './read-signature.js';
export { measureAmounts, scaleOf } from './statistics.js';
export { countPresent, idOf } from './transforms/text-ids.js';
export { idsOf, transformOf } from './transforms/index.js';
export { figureOf, headsOf, onlyHead, onlyTarget, readFigure, type Head } from './heads.js';
export type { Feature, Port, Signature } from './signature.js';
