import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import type { Release, Target, TargetContext } from '../../../../../src/plugin/api.js';
import { canaryOptions } from '../../../../../src/stages/deploy/canary/options.js';
import {
  makeKserveTarget,
  makeKubernetesTarget,
} from '../../../../../src/stages/deploy/targets/kubernetes/index.js';
import { deploy, makeContext, makePlainRelease, makeRoot } from '../../../../conformance/target-suite.js';
import { hasProgram, startRegistry } from '../oci/registry-server.js';
import { tinyParts } from '../oci/tiny-parts.js';
import { type ApiObject, ApiServer } from './api-server.js';

const kubernetes = makeKubernetesTarget(tinyParts);
const kserve = makeKserveTarget(tinyParts);
const release = 'maas.dev/release';

let root: string;
let releases: [Release, Release, Release];
beforeAll(async () => {
  root = await makeRoot('maas-kubernetes-');
  releases = (await Promise.all(['a', 'b', 'c'].map((content) => makePlainRelease(root, content)))) as never;
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe.skipIf(!hasProgram('docker-registry') || !hasProgram('kubectl'))(
  'a cluster',
  { timeout: 120_000 },
  () => {
    let registry: Awaited<ReturnType<typeof startRegistry>>;
    let cluster: ApiServer;
    let serving: string | undefined;
    let count = 0;

    beforeAll(async () => {
      registry = await startRegistry(root);
      process.env['KUBECACHEDIR'] = join(root, 'cache');
    });
    afterAll(() => registry.stop());
    beforeEach(async () => {
      count += 1;
      cluster = new ApiServer();
      const server = await cluster.listen();
      const named = { name: 'here', cluster: { server } };
      await writeFile(
        join(root, 'kubeconfig'),
        stringify({
          apiVersion: 'v1',
          kind: 'Config',
          clusters: [named],
          users: [{ name: 'me', user: { token: 'x' } }],
          contexts: [{ name: 'here', context: { cluster: 'here', user: 'me' } }],
          'current-context': 'here',
        }),
      );
      serving = undefined;
      cluster.answer = () => ({ name: 'plain', versions: [serving ?? runningRelease()] });
    });
    afterEach(() => cluster.close());

    /** The release of the pods, as the Deployment has them started. */
    function runningRelease(): string {
      const spec = cluster.object('deployments/plain')?.spec as
        | { template: { metadata: { annotations: Record<string, string> } } }
        | undefined;
      return spec?.template.metadata.annotations[release] ?? '';
    }

    function contextFor(target: Target, options: object = {}, keep = 5): TargetContext {
      const image = `${registry.host}/team/plain-${count}`;
      const parsed = target.options.parse({
        image,
        kubeconfig: 'kubeconfig',
        directory: `oci-${count}`,
        timeout: 3,
        ...options,
      });
      return makeContext(root, parsed, keep);
    }

    it('gets the objects, tells what runs, goes back, and forgets old releases', async () => {
      const context = contextFor(kubernetes, { autoscale: { max: 6 } }, 2);
      const [a, b, c] = releases;
      expect(await kubernetes.current(context)).toBeUndefined();
      await deploy(kubernetes, context, a);
      expect([...cluster.objects.keys()].filter((key) => !key.startsWith('configmaps/'))).toEqual([
        'deployments/plain',
        'services/plain',
        'poddisruptionbudgets/plain',
        'horizontalpodautoscalers/plain',
      ]);
      expect(cluster.object('deployments/plain')!.spec).not.toHaveProperty('replicas');
      await deploy(kubernetes, context, b);
      expect(await kubernetes.current(context)).toBe(b.digest);
      expect(runningRelease()).toBe(b.digest);
      expect(await kubernetes.rollback(context, 1)).toBe(a.digest);
      expect(runningRelease()).toBe(a.digest);
      await deploy(kubernetes, context, c);
      expect((await kubernetes.list(context)).map(({ digest }) => digest)).toEqual([c.digest, a.digest]);
      expect(cluster.object(`configmaps/plain-maas-${b.digest.slice(0, 12)}`)).toBeUndefined();
      expect(cluster.object(`configmaps/plain-maas-${a.digest.slice(0, 12)}`)).toBeDefined();
    });

    it('goes back to the objects of then, whatever the config says now', async () => {
      const [a, b] = releases;
      await deploy(kubernetes, contextFor(kubernetes, { replicas: 5 }), a);
      await deploy(kubernetes, contextFor(kubernetes, { replicas: 1 }), b);
      expect(cluster.object('deployments/plain')!.spec).toHaveProperty('replicas', 1);
      await kubernetes.rollback(contextFor(kubernetes, { replicas: 1 }), 1);
      expect(cluster.object('deployments/plain')!.spec).toHaveProperty('replicas', 5);
    });

    it.each([
      [
        'pods do not become ready',
        () => {
          const bad = releases[1].digest;
          cluster.isHealthy = (object) => !JSON.stringify(object.spec ?? '').includes(bad);
        },
        /did not become ready/,
      ],
      [
        'Service answers with another release',
        () => {
          serving = 'other';
        },
        /answers with release other/,
      ],
    ])('whose %s is brought back to what ran before', async (_, breakIt, message) => {
      const context = contextFor(kubernetes);
      const [a, b] = releases;
      await deploy(kubernetes, context, a);
      breakIt();
      await expect(deploy(kubernetes, context, b)).rejects.toMatchObject({
        code: 'MAAS_VERIFY_FAILED',
        message: expect.stringMatching(message) as string,
      });
      expect(runningRelease()).toBe(a.digest);
      expect(await kubernetes.current(context)).toBe(a.digest);
      cluster.isHealthy = () => true;
      serving = undefined;
      await deploy(kubernetes, context, b);
      expect(await kubernetes.current(context)).toBe(b.digest);
    });

    it('finishes a deploy that was killed while its pods started', async () => {
      const context = contextFor(kubernetes);
      const [a, b] = releases;
      await deploy(kubernetes, context, a);
      const stop = new AbortController();
      cluster.isHealthy = () => false;
      const cut = deploy(kubernetes, { ...context, signal: stop.signal }, b);
      setTimeout(() => {
        stop.abort();
      }, 1500);
      await expect(cut).rejects.toThrow();
      expect(await kubernetes.current(context)).toBe(a.digest);
      cluster.isHealthy = () => true;
      await deploy(kubernetes, context, b);
      expect(await kubernetes.current(context)).toBe(b.digest);
      expect(runningRelease()).toBe(b.digest);
    });

    /** Two pods of the current release and one of the candidate; `slowness` is how long a request takes the candidate, in seconds. */
    function answerAsPods(
      stable: string,
      candidate: string,
      candidateErrors: number,
      slowness = 0.002,
    ): void {
      let looks = 0;
      cluster.pods = ['old-1', 'old-2', 'new-1'];
      cluster.answer = (path) => {
        if (path !== '/metrics') return { name: 'plain', versions: [serving ?? runningRelease()] };
        looks += 1;
        const lines = (version: string, requests: number, errors: number, seconds: number): string =>
          [
            `maas_model_info{model="plain",version="${version}"} 1`,
            `maas_requests_total{model="plain",version="${version}",protocol="predict",status="200"} ${requests}`,
            `maas_requests_total{model="plain",version="${version}",protocol="predict",status="500"} ${errors}`,
            `maas_request_duration_seconds_sum{model="plain",version="${version}",protocol="predict",status="200"} ${seconds}`,
          ].join('\n');
        const count = looks * 40;
        const errors = looks * candidateErrors;
        return [
          lines(stable, count, 0, count * 0.002),
          lines(candidate, count, errors, count * slowness),
        ].join('\n');
      };
    }

    const trying = (context: TargetContext, more: object = {}): TargetContext => ({
      ...context,
      canary: canaryOptions.parse({ percent: 25, requests: 100, minutes: 0, ...more }),
    });
    const canary = (): ApiObject | undefined => cluster.object('deployments/plain-canary');

    it('tries a release on a share of the pods before all are of it', async () => {
      const context = trying(contextFor(kubernetes, { replicas: 3 }));
      const [a, b] = releases;
      await deploy(kubernetes, context, a);
      expect(canary()).toBeUndefined();
      answerAsPods(a.digest, b.digest, 0);
      const seen: unknown[] = [];
      cluster.onApplied = (object) => {
        if (object.metadata.name === 'plain-canary') seen.push(object.spec);
        if (object.kind === 'Deployment' && object.metadata.name === 'plain') seen.push(canary()?.spec);
      };
      const told: Record<string, number>[] = [];
      await deploy(kubernetes, { ...context, onCanary: (figures) => told.push({ ...figures }) }, b);
      expect(seen).toHaveLength(2);
      // The Service finds both by labels that they share; either Deployment finds its own.
      const labels = cluster.object('services/plain')!.spec!['selector'] as object;
      expect(seen[0]).toMatchObject({
        replicas: 1,
        selector: { matchLabels: { ...labels, 'maas.dev/track': 'canary' } },
        template: { metadata: { labels, annotations: { [release]: b.digest } } },
      });
      expect(seen[1]).toBeDefined();
      expect(told).toMatchObject([{ errors: 0 }]);
      expect(told[0]!['requests']).toBeGreaterThanOrEqual(100);
      expect(await kubernetes.current(context)).toBe(b.digest);
      expect(runningRelease()).toBe(b.digest);
      expect(canary()).toBeUndefined();
    });

    it.each([
      ['fails', 5, 0.002, /requests failed/],
      ['is slow', 0, 0.02, /a request takes 20\.0 ms, 10\.00 times/],
    ])('leaves a release alone that %s', async (_, errors, slowness, message) => {
      const context = trying(contextFor(kubernetes));
      const [a, b] = releases;
      await deploy(kubernetes, context, a);
      answerAsPods(a.digest, b.digest, errors, slowness);
      await expect(deploy(kubernetes, context, b)).rejects.toMatchObject({
        code: 'MAAS_CANARY_FAILED',
        message: expect.stringMatching(message) as string,
      });
      expect(runningRelease()).toBe(a.digest);
      expect(await kubernetes.current(context)).toBe(a.digest);
      expect(canary()).toBeUndefined();
    });

    it('goes on with a trial whose deploy was killed, and a rollback ends it', async () => {
      const [a, b, c] = releases;
      const context = trying(contextFor(kubernetes), { requests: 1e6 });
      await deploy(kubernetes, context, a);
      await deploy(kubernetes, { ...context, canary: undefined }, b);
      answerAsPods(b.digest, c.digest, 0);
      const kept = JSON.stringify({
        candidate: c.digest,
        watched: { seconds: 9, stable: {}, candidate: { requests: 999_960 } },
      });
      cluster.onApplied = ({ metadata }) => {
        if (metadata.name === 'plain-canary') metadata['annotations'] = { 'maas.dev/watched': kept };
      };
      // What a kill leaves: the pods of the trial, with what was seen.
      const { describeCanary } =
        await import('../../../../../src/stages/deploy/targets/kubernetes/manifests.js');
      const { Kubectl } = await import('../../../../../src/stages/kubectl.js');
      const kubectl = new Kubectl(context.project, context.options as never, context.signal);
      const workload = {
        name: 'plain',
        image: 'x',
        options: context.options as never,
        release: c.digest,
        port: 8080,
      };
      await kubectl.apply([describeCanary(workload, 1)]);
      expect(await kubernetes.rollback(context, 1)).toBe(a.digest);
      expect(canary()).toBeUndefined();
      await kubectl.apply([describeCanary(workload, 1)]);
      answerAsPods(a.digest, c.digest, 0);
      await deploy(kubernetes, context, c);
      expect(runningRelease()).toBe(c.digest);
    });

    it('with KServe shares the requests by percent, and takes that back', async () => {
      const context = trying(contextFor(kserve));
      const [a, b] = releases;
      await deploy(kserve, context, a);
      const percents: unknown[] = [];
      cluster.onApplied = ({ kind, spec }) => {
        if (kind === 'InferenceService') {
          percents.push((spec!['predictor'] as Record<string, unknown>)['canaryTrafficPercent']);
        }
      };
      answerAsPods(a.digest, b.digest, 5);
      await expect(deploy(kserve, context, b)).rejects.toMatchObject({ code: 'MAAS_CANARY_FAILED' });
      answerAsPods(a.digest, b.digest, 0);
      await deploy(kserve, context, b);
      expect(percents).toEqual([25, undefined, 25, undefined]);
      expect(await kserve.current(context)).toBe(b.digest);
    });

    it('is looked at without a change', async () => {
      const context = contextFor(kubernetes);
      const [a] = releases;
      await deploy(kubernetes, context, a);
      const asked = cluster.asked.length;
      expect(await kubernetes.inspect!(context, a)).toMatchObject([
        { name: 'image', state: 'ok' },
        { name: 'deployment plain', state: 'ok' },
      ]);
      serving = 'other';
      expect((await kubernetes.inspect!(context, a))[1]).toMatchObject({
        state: 'failed',
        detail: expect.stringContaining('answers with release other') as string,
      });
      expect(cluster.asked.slice(asked).filter((each) => !each.startsWith('GET'))).toEqual([]);
    });

    it('tells what a deploy would change', async () => {
      const context = contextFor(kubernetes);
      await deploy(kubernetes, context, releases[0]);
      const [diff] = await kubernetes.plan!(context, releases[1]);
      expect(diff).toContain(`+        ${release}: ${releases[1].digest}`);
      expect(runningRelease()).toBe(releases[0].digest);
    });

    it('with KServe gets an InferenceService by digest', async () => {
      const context = contextFor(kserve, { canaryTrafficPercent: 10 });
      await deploy(kserve, context, releases[0]);
      expect(await kserve.current(context)).toBe(releases[0].digest);
      expect(cluster.object('inferenceservices/plain')!.spec).toMatchObject({
        predictor: {
          canaryTrafficPercent: 10,
          containers: [
            {
              name: 'kserve-container',
              image: expect.stringMatching(/@sha256:[0-9a-f]{64}$/) as string,
              env: [{ name: 'PROTOCOL', value: 'v2' }],
            },
          ],
        },
      });
    });

    it('that cannot be reached is an error of the environment', async () => {
      await cluster.close();
      await expect(kubernetes.current(contextFor(kubernetes))).rejects.toMatchObject({
        code: 'MAAS_PROGRAM',
      });
      cluster = new ApiServer();
      await cluster.listen();
    });

    it('may be left to whoever applies from a repository', async () => {
      const context = contextFor(kubernetes, { manifests: 'cluster/model.yaml' });
      const [a, b] = releases;
      await deploy(kubernetes, context, a);
      await deploy(kubernetes, context, b);
      expect(cluster.asked).toEqual([]);
      const text = await readFile(join(root, 'cluster', 'model.yaml'), 'utf8');
      const objects = parseAllDocuments(text).map((document) => document.toJS() as { kind: string });
      expect(objects.map(({ kind }) => kind)).toEqual(['Deployment', 'Service', 'PodDisruptionBudget']);
      expect(await kubernetes.current(context)).toBe(b.digest);
      expect(await kubernetes.rollback(context, 1)).toBe(a.digest);
    });
  },
);
