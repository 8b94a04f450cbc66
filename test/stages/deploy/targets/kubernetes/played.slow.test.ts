import { execa } from 'execa';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { kubernetesTarget } from '../../../../../src/stages/deploy/targets/kubernetes/index.js';
import { describeDeployment } from '../../../../../src/stages/deploy/targets/kubernetes/manifests.js';
import { ociTarget } from '../../../../../src/stages/deploy/index.js';
import { deploy, makeContext, makeRoot } from '../../../../conformance/target-suite.js';
import { makeRelease } from '../../make-release.js';
import { podmanEnvironment, whyNoPodman } from '../podman.js';

let root: string;
beforeAll(async () => {
  root = await makeRoot('maas-play-');
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe.skipIf(whyNoPodman() !== undefined)('the Deployment', { timeout: 240_000 }, () => {
  it('runs as podman plays it, with the image of a release', async ({ skip }) => {
    Object.assign(process.env, podmanEnvironment(root));
    const { artifact } = await makeRelease(join(root, 'project'));
    const archive = join(root, 'things.tar');
    const built = { ...makeContext(root, ociTarget.options.parse({ directory: 'real', archive })) };
    await deploy(ociTarget, built, artifact);
    await execa('podman', ['load', '-i', archive]);
    const folder = join(root, 'played');
    await mkdir(folder);
    const options = kubernetesTarget.options.parse({ image: 'localhost/plain', replicas: 1 }) as never;
    const [deployment] = describeDeployment({
      name: 'played',
      options,
      image: 'localhost/plain:latest',
      release: artifact.digest,
      port: 8080,
    });
    const file = join(folder, 'deployment.yaml');
    await writeFile(file, stringify(deployment, { aliasDuplicateObjects: false }));
    const played = await execa('podman', ['play', 'kube', file], { reject: false });
    if (played.exitCode !== 0) {
      process.stderr.write(`skipped: podman plays no Deployment here: ${played.stderr.slice(-400)}\n`);
      skip();
    }
    try {
      const { stdout } = await execa('podman', ['ps', '--all', '--format', '{{.Names}} {{.Status}}']);
      const name = /(\S*server\S*) /.exec(stdout)![1]!;
      const ask = `fetch('http://127.0.0.1:8080/v2/models/things').then((r) => r.json()).then((m) => console.log(m.versions[0]))`;
      let seen = '';
      for (let tries = 0; tries < 60 && seen !== artifact.digest; tries += 1) {
        const run = await execa('podman', ['exec', name, 'node', '-e', ask], { reject: false });
        seen = run.stdout.trim();
        if (seen !== artifact.digest) await new Promise((resolve) => setTimeout(resolve, 250));
      }
      expect(seen).toBe(artifact.digest);
    } finally {
      await execa('podman', ['play', 'kube', '--down', file], { reject: false });
    }
  });
});
