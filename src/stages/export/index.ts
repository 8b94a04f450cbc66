export { exportModel, type Exported, type ExportOrder } from './export-model.js';
export { compareWithTensorFlow } from './tfjs/compare.js';
export { formats, type FormatName } from './formats.js';
