import type { z } from 'zod';
import type { Layer, LayerChoice } from './layer.js';
import { showSizes, sizesOf } from './shapes.js';

export interface ResidualOptions {
  readonly layers: readonly LayerChoice[];
  readonly shortcut: readonly LayerChoice[];
}

/**
 * x + layers(x), or shortcut(x) + layers(x) where the layers change the shape (He et al., arXiv:1512.03385).
 * @param options Schema, whose lists are made of all layers, this one too.
 */
export function residualLayer(options: z.ZodType<ResidualOptions>): Layer<ResidualOptions> {
  return {
    summary: 'layers whose output is added to their input',
    options,
    emit(site, x, { layers, shortcut }) {
      const long = site.nested('layers', layers, x);
      const short = site.nested('shortcut', shortcut, x);
      const [given, wanted] = [sizesOf(site, short), sizesOf(site, long)];
      if (showSizes(given) !== showSizes(wanted)) {
        const channels =
          wanted.length === 3
            ? `conv2d: {filters: ${wanted[0]}, kernelSize: 1}`
            : `dense: {units: ${wanted.at(-1)}}`;
        throw site.misfit(
          `its layers give ${showSizes(wanted)}, its ${shortcut.length > 0 ? 'shortcut' : 'input'} ${showSizes(given)}`,
          `Give it a shortcut of the same shape, such as shortcut: [${channels}].`,
        );
      }
      return site.g.op('Add', [long, short], {}, { name: site.name });
    },
  };
}
