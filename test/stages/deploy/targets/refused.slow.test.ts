import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Artifact } from '../../../../src/artifacts/index.js';
import type { Release, Target, TargetContext } from '../../../../src/plugin/api.js';
import { makeContainerTarget } from '../../../../src/stages/deploy/targets/container/index.js';
import {
  makeKserveTarget,
  makeKubernetesTarget,
} from '../../../../src/stages/deploy/targets/kubernetes/index.js';
import { makeOciTarget } from '../../../../src/stages/deploy/targets/oci/index.js';
import { systemdTarget } from '../../../../src/stages/deploy/targets/systemd/index.js';
import { makeSshTarget } from '../../../../src/stages/deploy/targets/ssh/index.js';
import { verifyRelease } from '../../../../src/stages/deploy/verify.js';
import { deploy, makeContext, makeRoot } from '../../../conformance/target-suite.js';
import { makeRelease, spoilGolden } from '../make-release.js';
import { tinyParts } from './oci/tiny-parts.js';

/** What a target would do something with; each call is noted, and fails. */
const programs = ['docker', 'podman', 'kubectl', 'systemctl', 'ssh'];

const notSent = () => Promise.reject(new Error('nothing is to be sent'));
const targets: [Target, object][] = [
  [makeOciTarget(tinyParts), { directory: 'oci' }],
  [makeContainerTarget('docker', tinyParts), { directory: 'docker' }],
  [makeContainerTarget('podman', tinyParts), { directory: 'podman' }],
  [makeKubernetesTarget(tinyParts), { image: '127.0.0.1:9/a/b', directory: 'kubernetes' }],
  [makeKserveTarget(tinyParts), { image: '127.0.0.1:9/a/b', directory: 'kserve' }],
  [systemdTarget, { directory: 'systemd', unitDirectory: 'units' }],
  [makeSshTarget(notSent), { host: 'nowhere' }],
];

describe('a release that is no good', { timeout: 120_000 }, () => {
  let root: string;
  let wrong: Artifact;
  let good: Artifact;
  const path = process.env['PATH'];

  beforeAll(async () => {
    root = await makeRoot('maas-refused-');
    good = (await makeRelease(root)).artifact;
    wrong = await spoilGolden(root, good);
    await mkdir(join(root, 'bin'));
    for (const program of programs) {
      const file = join(root, 'bin', program);
      await writeFile(file, `#!/bin/sh\necho ${program} "$@" >> ${join(root, 'called')}\nexit 1\n`);
      await chmod(file, 0o755);
    }
    process.env['PATH'] = `${join(root, 'bin')}${delimiter}${path ?? ''}`;
  }, 120_000);
  afterAll(async () => {
    process.env['PATH'] = path;
    await rm(root, { recursive: true, force: true });
  });

  /** The real check: the release at work in a process of its own. */
  function contextFor(target: Target, options: object, maxLatencyMs?: number): TargetContext {
    const made = makeContext(root, target.options.parse(options));
    const verify: TargetContext['verify'] = (release: Release) =>
      verifyRelease(release, { timeout: 60, maxLatencyMs, signal: made.signal });
    return { ...made, verify };
  }

  it.each(targets.map(([target, options]) => [target.name, target, options] as const))(
    'is not switched to by %s: nothing is sent, started or told there',
    async (_, target, options) => {
      await rm(join(root, 'called'), { force: true });
      await expect(deploy(target, contextFor(target, options), wrong)).rejects.toMatchObject({
        code: 'MAAS_VERIFY_FAILED',
        message: expect.stringMatching(/golden/) as string,
      });
      await expect(deploy(target, contextFor(target, options, 1e-6), good)).rejects.toMatchObject({
        code: 'MAAS_VERIFY_FAILED',
        message: expect.stringContaining('its budget is') as string,
      });
      await expect(readFile(join(root, 'called'))).rejects.toMatchObject({ code: 'ENOENT' });
    },
  );
});
