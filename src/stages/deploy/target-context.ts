import { MaasError } from '../../errors.js';
import type { Project, Registry, ReleaseRecord, Target, TargetContext } from '../../plugin/api.js';
import type { DeployOptions } from './config.js';
import { readTrustedKeys } from './keys.js';
import { checkProvenance } from './provenance.js';
import { type Verification, verifyRelease } from './verify.js';

export interface OpenTarget {
  readonly target: Target;
  readonly context: TargetContext;
}

/** What `targetContext` needs from whoever opens it: the context of a stage has it all. */
export interface TargetSource {
  readonly project: Project;
  readonly registry: Pick<Registry, 'targets'>;
  readonly signal: AbortSignal;
  /** Told the figures of every release that passed. */
  readonly onVerified?: (verification: Verification) => void;
  /** Told the figures of a release that was tried on part of the requests. */
  readonly onCanary?: (figures: Readonly<Record<string, number>>) => void;
}

/** The target that the config's `deploy` section chooses, ready for use. */
export function openTarget({ project, registry, signal, onVerified, onCanary }: TargetSource): OpenTarget {
  const options = project.config['deploy'] as DeployOptions | undefined;
  if (options === undefined) {
    throw new MaasError('MAAS_CONFIG_INVALID', 'the config has no deploy section', {
      place: { file: project.configFile },
      hint: 'Add `deploy: {target: local}`.',
    });
  }
  const target = registry.targets.get(options.target.name)!;
  return {
    target,
    context: {
      project,
      options: options.target.options,
      keep: options.keep,
      signal,
      canary: options.canary,
      ...(onCanary && { onCanary }),
      async verify(release, note) {
        const trusted = await readTrustedKeys(project, options);
        if (trusted !== undefined) await checkProvenance(release.path, trusted);
        const args = candidateArguments(project);
        const verification = await verifyRelease(release, { ...options.verify, signal, args }, note);
        onVerified?.(verification);
        return verification;
      },
    },
  };
}

/** What `maas serve` is to know of the project: the file, and what this command line says instead of it. */
function candidateArguments({ configFile, overrides = [], config }: Project): string[] {
  const { grpcPort } = (config['serve'] ?? {}) as { readonly grpcPort?: number };
  return [
    '--config',
    configFile,
    ...overrides.flatMap((override) => ['--set', override]),
    // The server that runs has the port of the config.
    ...(grpcPort === undefined ? [] : ['--grpc-port', '0']),
  ];
}

/** Releases that the target holds, the current one first, then by when they were last switched to. */
export function listReleases({ target, context }: OpenTarget): Promise<readonly ReleaseRecord[]> {
  return target.list(context);
}

/** Removes what the config's `keep` does not keep; returns how many releases are gone. */
export function pruneReleases({ target, context }: OpenTarget): Promise<number> {
  return target.prune(context);
}

/**
 * Goes back `count` releases.
 * @returns the digest that is current now.
 * @throws MaasError MAAS_RELEASE_MISSING when there are fewer.
 */
export function rollbackRelease({ target, context }: OpenTarget, count: number): Promise<string> {
  return target.rollback(context, count);
}

/**
 * The link to the current release, for `maas serve`.
 * @throws MaasError MAAS_RELEASE_MISSING when nothing is deployed, or when the target runs its releases elsewhere.
 */
export async function currentReleaseLink({ target, context }: OpenTarget): Promise<string> {
  if (target.link === undefined) {
    throw new MaasError('MAAS_RELEASE_MISSING', `the target ${target.name} runs its releases elsewhere`, {
      hint: 'Pass --release DIR to serve a release folder here.',
    });
  }
  if ((await target.current(context)) === undefined) {
    throw new MaasError('MAAS_RELEASE_MISSING', 'nothing is deployed yet', {
      place: { file: target.link(context) },
    });
  }
  return target.link(context);
}
