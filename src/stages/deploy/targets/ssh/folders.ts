import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { dirname } from 'node:path/posix';
import { Readable } from 'node:stream';
import { canonicalJson } from '../../../../artifacts/index.js';
import { digestFile, digestOf } from '../../../../artifacts/digest.js';
import { listTree } from '../../../../artifacts/durable.js';
import type { Project, Release } from '../../../../plugin/api.js';
import { collectServer } from '../oci/bundle.js';
import { neededPackages } from '../oci/parts.js';
import { describeSoftware } from '../oci/sbom.js';
import { gzipEvenly, type LayerFile, packLayer } from '../oci/tar-layer.js';
import { noFolder, type Remote } from './remote.js';

/** A folder to be had on the other machine under the digest of what is in it. */
export interface Folder {
  /** Relative to the deploy folder. */
  readonly path: string;
  readonly files: readonly LayerFile[];
  /** For `sha256sum --check`, in the folder. */
  readonly sums: string;
}

/** Where the server starts, relative to its folder. */
export interface ServerFolder extends Folder {
  readonly entry: string;
}

export async function releaseFolder(release: Release): Promise<Folder> {
  const { files } = await listTree(release.path);
  const layer = files.map((path) => ({ path, from: join(release.path, path) }));
  return { path: `releases/${release.digest}`, files: layer, sums: await sumUp(layer) };
}

/** The part of this installation that serves, with the packages it needs, set up as the project's `serve` section says. */
export async function serverFolder(project: Project, release: Pick<Release, 'path'>): Promise<ServerFolder> {
  const { app, dependencies, packages, entry } = await collectServer(await neededPackages(release));
  const written = {
    'app/serve.json': canonicalJson(project.config['serve'] ?? {}),
    'app/sbom.cdx.json': describeSoftware(packages, []),
  };
  const files = [
    ...app,
    ...dependencies,
    ...Object.entries(written).map(([path, text]) => ({ path, from: Buffer.from(text) })),
  ];
  const sums = await sumUp(files);
  const digest = digestOf(Buffer.from(sums));
  return { path: `servers/${digest}`, files, sums, entry: entry.slice(1) };
}

async function sumUp(files: readonly LayerFile[]): Promise<string> {
  const lines: string[] = [];
  for (const { path, from } of files) {
    lines.push(`${typeof from === 'string' ? await digestFile(from) : digestOf(from)}  ${path}\n`);
  }
  return lines.sort().join('');
}

/**
 * Has the folder there whole. It comes as one tar beside its place, is read back and compared, and takes its place by a rename: a kill
 * leaves a draft, which the next deploy clears away.
 */
export async function putFolder(remote: Remote, folder: Folder): Promise<'kept' | 'new' | 'mended'> {
  const { path, files, sums } = folder;
  const looked = await remote.try(
    `[ -d ${path} ] || exit ${noFolder}; cd ${path} && sha256sum -c - >/dev/null 2>&1`,
    { input: sums },
  );
  if (looked.exitCode === 0) return 'kept';
  const draft = `tmp/${randomUUID()}`;
  const content = files.map((file) => ({ ...file, path: `content/${file.path}` }));
  const tar = packLayer([...content, { path: 'sums', from: Buffer.from(sums) }]);
  const script = [
    'set -e',
    `mkdir -p ${draft} ${dirname(path)}`,
    `gzip -dc | tar -xmf - -C ${draft}`,
    `(cd ${draft}/content && sha256sum -c ../sums >/dev/null)`,
    'sync',
    // A damaged one goes aside first; whoever opens it between the two renames looks again.
    `if [ -d ${path} ]; then mv ${path} ${draft}/former; fi`,
    `mv ${draft}/content ${path}`,
    'sync',
    `rm -rf ${draft}`,
  ].join('\n');
  await remote.must(`take ${path}`, script, { change: true, input: Readable.from(gzipEvenly(tar)) });
  return looked.exitCode === noFolder ? 'new' : 'mended';
}
