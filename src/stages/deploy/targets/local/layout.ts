import { join, resolve } from 'node:path';
import type { TargetContext } from '../../../../plugin/api.js';

export interface LocalOptions {
  readonly directory: string;
}

/** The folder of a local target. Everything in it is reached through these paths. */
export interface Layout {
  readonly root: string;
  /** `releases/<digest>/`, each a whole release, read-only. */
  readonly releases: string;
  /** Link to `releases/<digest>`; moved by rename, so that it always points to a whole release. */
  readonly link: string;
  readonly journal: string;
  /** Drafts. Whatever lies here when the lock is taken was left by a kill, and is cleared away. */
  readonly tmp: string;
}

export function layOut({ project, options }: TargetContext<LocalOptions>): Layout {
  const root = resolve(project.root, options.directory);
  return {
    root,
    releases: join(root, 'releases'),
    link: join(root, 'current'),
    journal: join(root, 'history.jsonl'),
    tmp: join(root, 'tmp'),
  };
}
