import { z } from 'zod';
import { attr } from '../../../ir/graph.js';
import type { Layer } from './layer.js';
import { expectRank, withChannelsFirst } from './shapes.js';
import { padding, perAxis, windowAttributes } from './window.js';

const poolOptions = (rank: number) =>
  z.strictObject({
    poolSize: perAxis(rank, 'Elements along each axis that become one.').prefault(2),
    strides: perAxis(rank, 'How far the window goes at a time. Default: its size.').optional(),
    padding: padding.default('valid'),
  });

function pooling(
  rank: number,
  op: 'MaxPool' | 'AveragePool',
  what: string,
): Layer<z.output<ReturnType<typeof poolOptions>>> {
  return {
    summary: `the ${op === 'MaxPool' ? 'greatest' : 'mean'} of each window of ${what}`,
    options: poolOptions(rank),
    emit(site, x, { poolSize, strides, padding }) {
      expectRank(site, x, rank + 1);
      return withChannelsFirst(site, x, (turned) => {
        const window = {
          kernel: poolSize,
          strides: strides ?? poolSize,
          dilations: poolSize.map(() => 1),
          padding,
        };
        const sizes = site.g.shapeOf(turned).slice(2).map(Number);
        return site.g.op(op, [turned], windowAttributes(site, sizes, window), { name: site.name });
      });
    },
  };
}

export const maxPooling1d = pooling(1, 'MaxPool', 'a sequence');
export const maxPooling2d = pooling(2, 'MaxPool', 'an image');
export const maxPooling3d = pooling(3, 'MaxPool', 'a volume');
export const averagePooling1d = pooling(1, 'AveragePool', 'a sequence');
export const averagePooling2d = pooling(2, 'AveragePool', 'an image');
export const averagePooling3d = pooling(3, 'AveragePool', 'a volume');

const none = z.strictObject({});

function globalPooling(rank: number, op: 'GlobalMaxPool' | 'GlobalAveragePool', what: string): Layer<object> {
  return {
    summary: `the ${op === 'GlobalMaxPool' ? 'greatest' : 'mean'} of each channel over ${what}`,
    options: none,
    emit(site, x) {
      expectRank(site, x, rank + 1);
      const { g, name } = site;
      if (rank === 1) {
        // The steps lie on the axis before the last: a reduction needs no turn.
        return g.op(
          op === 'GlobalMaxPool' ? 'ReduceMax' : 'ReduceMean',
          [x, g.int64s([1])],
          { keepdims: attr.int(0) },
          { name },
        );
      }
      return g.op('Flatten', [g.op(op, [x], {}, { name })]);
    },
  };
}

export const globalMaxPooling1d = globalPooling(1, 'GlobalMaxPool', 'all steps');
export const globalMaxPooling2d = globalPooling(2, 'GlobalMaxPool', 'the image');
export const globalMaxPooling3d = globalPooling(3, 'GlobalMaxPool', 'the volume');
export const globalAveragePooling1d = globalPooling(1, 'GlobalAveragePool', 'all steps');
export const globalAveragePooling2d = globalPooling(2, 'GlobalAveragePool', 'the image');
export const globalAveragePooling3d = globalPooling(3, 'GlobalAveragePool', 'the volume');
