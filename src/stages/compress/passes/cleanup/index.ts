import { foldConstantsPass } from '../fold-constants.js';
import { foldPadPass } from '../fold-pad.js';
import { fuseGemmPass } from '../fuse-gemm.js';
import { fuseTransposesPass } from '../fuse-transposes.js';
import { removeIdentitiesPass } from '../remove-identities.js';
import { shareSubexpressionsPass } from '../share-subexpressions.js';
import { simplifyPass } from '../simplify.js';
import { simplifyShapesPass } from '../simplify-shapes.js';
import { splitGemmPass } from '../split-gemm.js';

/** Passes that give the same numbers as before. */
export const cleanupPasses = [
  simplifyPass,
  simplifyShapesPass,
  foldConstantsPass,
  removeIdentitiesPass,
  shareSubexpressionsPass,
  fuseTransposesPass,
  foldPadPass,
  fuseGemmPass,
  splitGemmPass,
];
