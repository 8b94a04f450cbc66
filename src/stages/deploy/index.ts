import { createPublicKey } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { keyId } from '../../artifacts/dsse.js';
import type { Json } from '../../artifacts/index.js';
import { defineStage } from '../../plugin/api.js';
import { type DeployOptions, deployOptions } from './config.js';
import { readSigningKey } from './keys.js';
import { isWhole } from './release-folder.js';
import { openTarget } from './target-context.js';
import { dockerTarget, podmanTarget } from './targets/container/index.js';
import { kserveTarget, kubernetesTarget } from './targets/kubernetes/index.js';
import { localTarget } from './targets/local/index.js';
import { ociTarget } from './targets/oci/index.js';
import { sshTarget } from './targets/ssh/index.js';
import { systemdTarget } from './targets/systemd/index.js';
import { buildTasks, targetTasks } from './tasks.js';

export { type DeployOptions } from './config.js';
export { dockerTarget, localTarget, ociTarget, podmanTarget, sshTarget };
export { type DeployPlan, planDeploy } from './plan.js';
export { verifyDeployed } from './inspect.js';
export {
  currentReleaseLink,
  listReleases,
  type OpenTarget,
  openTarget,
  pruneReleases,
  rollbackRelease,
  type TargetSource,
} from './target-context.js';

/** All that maas itself can bring releases to, the default first. */
export const targets = [
  localTarget,
  systemdTarget,
  sshTarget,
  ociTarget,
  dockerTarget,
  podmanTarget,
  kubernetesTarget,
  kserveTarget,
];

/** Makes the model a release that can prove itself, and brings it to the target. */
export const deployStage = defineStage<DeployOptions>({
  name: 'deploy',
  summary: 'Build a release, verify it, and switch the target to it.',
  after: 'compress',
  options: deployOptions,
  reads: ['model'],
  writes: 'release',
  version: 4,
  // Where it goes and how it is checked is no part of a release: the same one goes to every place.
  artifactOptions: () => ({}),
  async key({ project, options }): Promise<Record<string, Json>> {
    const key = await readSigningKey(project, options);
    return key === undefined ? {} : { signer: keyId(createPublicKey(key)) };
  },
  tasks: buildTasks,
  effect: {
    async inPlace(context, artifact) {
      const { target, context: targetContext } = openTarget(context);
      if ((await target.current(targetContext)) !== artifact.digest) return false;
      const link = target.link?.(targetContext);
      return link === undefined || isWhole(await realpath(link));
    },
    tasks: targetTasks,
  },
});
