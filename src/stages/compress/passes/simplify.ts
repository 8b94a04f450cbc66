import { z } from 'zod';
import { definePass, type PassReport } from '../../../plugin/api.js';
import { foldConstantsPass } from './fold-constants.js';
import { foldPadPass } from './fold-pad.js';
import { fuseGemmPass } from './fuse-gemm.js';
import { fuseTransposesPass } from './fuse-transposes.js';
import { removeIdentitiesPass } from './remove-identities.js';
import { shareSubexpressionsPass } from './share-subexpressions.js';
import { simplifyShapesPass } from './simplify-shapes.js';

/** What one finds, another can go on with; each makes the graph smaller or plainer, so that this ends by itself. */
const mostRounds = 20;

const steps = [
  simplifyShapesPass,
  foldConstantsPass,
  removeIdentitiesPass,
  shareSubexpressionsPass,
  fuseTransposesPass,
  foldPadPass,
  fuseGemmPass,
];

/**
 * What: runs the clean-up passes, again and again, until none finds anything.
 * Why: what quantization and folding look for is then there to be seen, whatever exporter wrote the model.
 * Example: the layers of a BERT that was traced become plain MatMuls behind fixed shapes.
 */
export const simplifyPass = definePass<Record<string, never>>({
  name: 'simplify',
  summary: 'Remove what a model computes without need.',
  options: z.strictObject({}),
  version: 1,
  async run(given, options, context) {
    const applied: NonNullable<PassReport['applied']>[number][] = [];
    let model = given;
    for (let round = 0; round < mostRounds; round++) {
      const before = model;
      for (const pass of steps) {
        const { model: after, report } = await pass.run(model, options, context);
        model = after;
        applied.push(...(report.applied ?? []));
      }
      if (model === before) break;
    }
    return { model, report: { changed: applied.length > 0, applied, skipped: [] } };
  },
});
