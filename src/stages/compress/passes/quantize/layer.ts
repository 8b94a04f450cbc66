import type { Node } from '../../../../ir/graph.js';
import type { Replacement } from '../../../../ir/rewrite.js';
import type { DenseLayer } from '../dense-layer.js';
import type { QuantizedMatrix } from '../quantize-matrix.js';

/** A layer that was chosen, with its weights as integers. Layers that share weights share the matrix. */
export interface QuantizedLayer {
  readonly layer: DenseLayer;
  readonly matrix: QuantizedMatrix;
}

/** Writes the nodes that take the place of a layer's. */
export type EmitLayer = (node: Node, chosen: QuantizedLayer) => Replacement;
