import { activation } from './activation.js';
import { multiHeadAttention, positionEmbedding } from './attention.js';
import { conv1d, conv2d, conv2dTranspose, conv3d, depthwiseConv2d, separableConv2d } from './convolution.js';
import { dense } from './dense.js';
import { dropout } from './dropout.js';
import { embedding } from './embedding.js';
import type { Layer, MergingLayer } from './layer.js';
import { add, average, concatenate, maximum, minimum, multiply, subtract } from './merging.js';
import {
  batchNormalization,
  groupNormalization,
  layerNormalization,
  rmsNormalization,
} from './normalization.js';
import * as pooling from './pooling.js';
import { prelu } from './prelu.js';
import { gru, lstm, simpleRnn } from './recurrent.js';
import { residualLayer, type ResidualOptions } from './residual.js';
import { flatten, permute, reshape, upSampling2d, zeroPadding2d } from './reshaping.js';
import { residualSchema, timeDistributedSchema } from './list-schema.js';
import {
  bidirectional,
  repeatVector,
  timeDistributedLayer,
  type TimeDistributedOptions,
} from './wrappers.js';

const residual: Layer<ResidualOptions> = residualLayer(residualSchema(() => layers));

const timeDistributed: Layer<TimeDistributedOptions> = timeDistributedLayer(
  timeDistributedSchema(() => layers),
);

/** What `train.model.layers` is made of, by the names of Keras. */
export const layers = {
  dense,
  conv1d,
  conv2d,
  conv3d,
  depthwiseConv2d,
  separableConv2d,
  conv2dTranspose,
  ...pooling,
  batchNormalization,
  layerNormalization,
  groupNormalization,
  rmsNormalization,
  dropout,
  activation,
  prelu,
  flatten,
  reshape,
  permute,
  zeroPadding2d,
  upSampling2d,
  embedding,
  lstm,
  gru,
  simpleRNN: simpleRnn,
  bidirectional,
  timeDistributed,
  repeatVector,
  multiHeadAttention,
  positionEmbedding,
  residual,
  concatenate,
  add,
  subtract,
  multiply,
  average,
  maximum,
  minimum,
} as const;

export type LayerName = keyof typeof layers;
export type { LayerChoice } from './layer.js';

/** The layer of this name; choices that the config's schema has passed have one. */
export function layerOf(name: string): Layer<unknown> | MergingLayer<unknown> {
  return layers[name as LayerName];
}
