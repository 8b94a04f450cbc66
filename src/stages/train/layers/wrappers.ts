import { z } from 'zod';
import { named } from '../../../config/named.js';
import { attr } from '../../../ir/graph.js';
import type { Layer, LayerChoice } from './layer.js';
import { gru, lstm, simpleRnn, type Direction, type RecurrentLayer } from './recurrent.js';
import { expectRank, showSizes, sizesOf } from './shapes.js';

const recurrentLayers = { lstm, gru, simpleRNN: simpleRnn };

const bidirectionalOptions = z.strictObject({
  layer: named(recurrentLayers, 'layer').describe('What reads: lstm, gru or simpleRNN.'),
  mergeMode: z
    .enum(['concat', 'sum', 'mul', 'ave'])
    .default('concat')
    .describe('How the outputs of both readings become one.'),
});

/** Schuster and Paliwal 1997. */
export const bidirectional: Layer<z.output<typeof bidirectionalOptions>> = {
  summary: 'reads a sequence from both ends, each with weights of its own',
  options: bidirectionalOptions,
  emit(site, x, { layer, mergeMode }) {
    const { g, name } = site;
    // The options were checked against this very layer's schema.
    const reader = recurrentLayers[layer.name as keyof typeof recurrentLayers] as RecurrentLayer;
    const options = layer.options as { readonly goBackwards: boolean };
    const [first, second]: Direction[] = options.goBackwards
      ? ['reverse', 'forward']
      : ['forward', 'reverse'];
    const outputs = [
      reader.read(site, x, options as never, first!, 'forward'),
      reader.read(site, x, options as never, second!, 'backward'),
    ];
    if (mergeMode === 'concat') return g.op('Concat', outputs, { axis: attr.int(-1) }, { name });
    return g.op({ sum: 'Add', mul: 'Mul', ave: 'Mean' }[mergeMode], outputs, {}, { name });
  },
};

export interface TimeDistributedOptions {
  readonly layer: LayerChoice;
}

/**
 * One layer, with the same weights, on each step: [N, steps, …] → [N, steps, …].
 * @param options Schema, whose layer may be any.
 */
export function timeDistributedLayer(
  options: z.ZodType<TimeDistributedOptions>,
): Layer<TimeDistributedOptions> {
  return {
    summary: 'a layer on each step by itself',
    options,
    emit(site, x, { layer }) {
      const { g, name } = site;
      const [steps, ...sizes] = sizesOf(site, x) as [number, ...number[]];
      if (sizes.length === 0) {
        throw site.misfit(
          `takes steps [steps, …], what comes before it gives ${showSizes([steps])}`,
          'Put a reshape before it.',
        );
      }
      const rows = g.op('Reshape', [x, g.int64s([-1, ...sizes])]);
      const y = site.nested('layer', [layer], rows);
      return g.op('Reshape', [y, g.int64s([-1, steps, ...sizesOf(site, y)])], {}, { name });
    },
  };
}

const repeatOptions = z.strictObject({ n: z.int().min(1).describe('Steps.') });

/** [N, features] → [N, n, features] */
export const repeatVector: Layer<z.output<typeof repeatOptions>> = {
  summary: 'a vector as a sequence of n equal steps',
  options: repeatOptions,
  emit(site, x, { n }) {
    const { g, name } = site;
    expectRank(site, x, 1);
    return g.op('Expand', [g.op('Unsqueeze', [x, g.int64s([1])]), g.int64s([1, n, 1])], {}, { name });
  },
};
