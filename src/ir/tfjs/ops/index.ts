import { elementwise } from './elementwise.js';
import { layout } from './layout.js';
import { linear } from './linear.js';
import { normalize } from './normalize.js';
import type { Ops } from './op.js';
import { recurrents } from './recurrent.js';
import { reduce } from './reduce.js';
import { window } from './window.js';

export { unsupported, type Op } from './op.js';

/** Operators that TensorFlow.js trains, by name; those outside of ai.onnx as domain:name. */
export const ops: Ops = {
  ...elementwise,
  ...layout,
  ...linear,
  ...normalize,
  ...recurrents,
  ...reduce,
  ...window,
};
