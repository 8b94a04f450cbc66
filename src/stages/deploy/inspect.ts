import { realpath } from 'node:fs/promises';
import { type ArtifactStore, damageOf } from '../../artifacts/index.js';
import { readArtifact } from '../../artifacts/verify.js';
import { MaasError } from '../../errors.js';
import type { Check } from '../../plugin/api.js';
import type { DeployOptions } from './config.js';
import { readTrustedKeys } from './keys.js';
import { checkProvenance } from './provenance.js';
import type { Replay } from './replay.js';
import type { OpenTarget } from './target-context.js';

export interface Inspection {
  /** Digest of the current release. */
  readonly release: string;
  readonly checks: readonly Check[];
}

/**
 * Holds what is deployed against what it was released as: its files against their digests, its provenance against the keys that are
 * trusted, its answers against its golden rows, and what runs of it against all of these. Changes nothing.
 * @throws MaasError MAAS_VERIFY_FAILED with all checks when one of them fails, MAAS_RELEASE_MISSING when nothing is deployed.
 */
export async function verifyDeployed(open: OpenTarget, store: ArtifactStore): Promise<Inspection> {
  const { target, context } = open;
  const digest = await target.current(context);
  if (digest === undefined)
    throw new MaasError('MAAS_RELEASE_MISSING', `nothing is deployed to ${target.name} yet`);
  const { check, path } = await checkFiles(open, store, digest);
  const checks: Check[] = [check];
  if (path !== undefined) {
    const keys = await readTrustedKeys(context.project, context.project.config['deploy'] as DeployOptions);
    if (keys === undefined)
      checks.push({ name: 'provenance', state: 'skipped', detail: 'deploy.trust names no keys' });
    else
      checks.push(await attempt('provenance', async () => `signed by ${await checkProvenance(path, keys)}`));
    checks.push(
      await attempt('answers', async () => {
        const { rows, readyMs } = await context.verify({ digest, path });
        return `${rows} golden rows answered, ready after ${(readyMs / 1000).toFixed(1)} s`;
      }),
    );
  }
  checks.push(...((await target.inspect?.(context, { digest, path })) ?? []));
  const failed = checks.filter(({ state }) => state === 'failed');
  if (failed.length === 0) return { release: digest, checks };
  const told = failed.map(({ name, detail }) => `${name}: ${detail}`).join('; ');
  throw new MaasError(
    'MAAS_VERIFY_FAILED',
    `release ${digest.slice(0, 12)} is not what it should be: ${told}`,
    {
      hint: 'Nothing was changed. `maas deploy` brings the newest release there whole, `maas deploy --rollback` the one before.',
      details: { release: digest, checks: checks.map((each) => ({ ...each })) },
    },
  );
}

/** The current release where it runs, or else as it was built here. */
async function checkFiles(
  { target, context }: OpenTarget,
  store: ArtifactStore,
  digest: string,
): Promise<{ readonly check: Check; readonly path?: string }> {
  const name = 'files';
  const link = target.link?.(context);
  try {
    const path = link === undefined ? (await store.open('deploy', digest)).path : await realpath(link);
    const { manifest } = await readArtifact('deploy', path, true);
    const count = Object.keys(manifest.files).length;
    return { check: { name, state: 'ok', detail: `${count} files in ${path} have their digests` }, path };
  } catch (error) {
    if (damageOf(error) === undefined) throw error;
    if (link === undefined)
      return { check: { name, state: 'skipped', detail: 'the release is not to be had here' } };
    return { check: { name, state: 'failed', detail: (error as Error).message } };
  }
}

/** Asks a service that runs. */
export function checkService(name: string, look: () => Promise<Replay | undefined>): Promise<Check> {
  return attempt(name, async () => {
    const replay = await look();
    return replay === undefined
      ? 'it is this release'
      : `it is this release, and answers ${replay.rows} golden rows`;
  });
}

async function attempt(name: string, look: () => Promise<string>): Promise<Check> {
  try {
    return { name, state: 'ok', detail: await look() };
  } catch (error) {
    if (!(error instanceof MaasError) || error.exitCode !== 3) throw error;
    return { name, state: 'failed', detail: error.message };
  }
}
