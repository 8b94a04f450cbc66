import type { Node } from '../../../../ir/graph.js';
import type { Replacement } from '../../../../ir/rewrite.js';
import type { DenseLayer } from '../dense-layer.js';

/** A layer that was chosen, with its weights as integers. Layers that share weights share the matrix. */
export interface QuantizedLayer<Matrix> {
  readonly layer: DenseLayer;
  readonly matrix: Matrix;
}

/** Writes the nodes that take the place of a layer's. */
export type EmitLayer<Matrix> = (node: Node, chosen: QuantizedLayer<Matrix>) => Replacement;
