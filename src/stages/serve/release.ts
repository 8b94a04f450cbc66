import { readFile, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { digestFile, digestOf, type FileEntry, type Manifest } from '../../artifacts/index.js';
import type { Reference } from '../../data/drift/reference.js';
import { readSignature } from '../../data/read-signature.js';
import type { Signature } from '../../data/signature.js';
import { asDiskError, MaasError } from '../../errors.js';
import { parseGolden, type Golden } from './golden.js';
import type { ModelFiles } from './model-files.js';
import { largestToTry } from './placement.js';

/** Files whose bytes are used; whatever else a release holds is checked all the same. */
const used = ['model.onnx', 'signature.json', 'golden.json', 'reference.json'];

/** A release as it was read from disk: every byte of it is what its manifest says. */
export interface ReleaseFiles extends ModelFiles {
  /** Its version, too. */
  readonly digest: string;
  readonly manifest: Manifest;
  readonly signature: Signature;
  readonly golden: Golden;
}

/**
 * Reads a release folder, or a link to one.
 * @throws MaasError MAAS_RELEASE_MISSING when there is none, MAAS_ARTIFACT_CORRUPT when a file is missing or is not
 * what the manifest says, or the manifest is not what the folder's name says.
 */
export async function readRelease(path: string): Promise<ReleaseFiles> {
  // One release from here on, wherever a link may point to the next moment.
  const folder = await realpath(path).catch((error: unknown) => {
    throw missing(path, error);
  });
  const bytes = await readManifest(folder);
  const manifest = parse(folder, 'manifest.json', bytes) as Manifest;
  if (manifest.schemaVersion !== 1 || manifest.kind !== 'release' || typeof manifest.files !== 'object') {
    throw corrupt(folder, 'manifest.json is not the manifest of a release');
  }
  // The file holds canonical JSON, so that its bytes have the digest that names the folder.
  const digest = digestOf(bytes);
  const named = basename(folder);
  if (/^[0-9a-f]{64}$/.test(named) && named !== digest) {
    throw corrupt(folder, `manifest.json has digest ${digest.slice(0, 12)}…, not that of its folder`);
  }
  const files = await readFiles(folder, manifest);
  take(folder, files, 'signature.json');
  const signature = await readSignature(join(folder, 'signature.json'));
  return {
    name: signature.name,
    version: digest,
    projectName: manifest.name,
    digest,
    manifest,
    target: manifest.metrics['target'],
    size: Object.values(manifest.files).reduce((sum, { size }) => sum + size, 0),
    path: join(folder, 'model.onnx'),
    ...(isMapped(manifest)
      ? {
          model: join(folder, 'model.onnx'),
          sources: Object.keys(manifest.files)
            .filter(isModel)
            .map((name) => join(folder, name)),
        }
      : { model: take(folder, files, 'model.onnx') }),
    signature,
    golden: parseGolden(parse(folder, 'golden.json', take(folder, files, 'golden.json'))),
    ...(files.has('reference.json') && {
      reference: parse(folder, 'reference.json', take(folder, files, 'reference.json')) as Reference,
    }),
  };
}

async function readManifest(folder: string): Promise<Buffer> {
  try {
    return await readFile(join(folder, 'manifest.json'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') throw missing(folder, error);
    throw asDiskError(error, 'cannot read the release');
  }
}

/** Whether the runtime reads the model by itself: a copy of a large one in this process would stay for as long as it is served. */
function isMapped({ files }: Manifest): boolean {
  const { size = 0 } = files['model.onnx'] ?? {};
  return size > largestToTry || Object.keys(files).filter(isModel).length > 1;
}

/** Its graph, and its external data. */
function isModel(name: string): boolean {
  return name === 'model.onnx' || name.startsWith('model.onnx.');
}

/**
 * Checks every file. The bytes of those that are used are read once, so that nothing can change between check and use; a
 * large model and external data are only hashed.
 */
async function readFiles(folder: string, manifest: Manifest): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const [name, entry] of Object.entries(manifest.files)) {
    if (name.split('/').some((part) => part === '' || part === '.' || part === '..')) {
      throw corrupt(
        folder,
        `manifest.json names ${JSON.stringify(name)}, which is no path inside the folder`,
      );
    }
    try {
      const keep = used.includes(name) && !(name === 'model.onnx' && isMapped(manifest));
      const found = await readEntry(join(folder, name), keep);
      if (found.size !== entry.size || found.sha256 !== entry.sha256) {
        throw corrupt(folder, `${name} is not the file that manifest.json describes`);
      }
      if (found.bytes) files.set(name, found.bytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT')
        throw corrupt(folder, `${name} is missing`, error);
      throw asDiskError(error, 'cannot read the release');
    }
  }
  return files;
}

async function readEntry(path: string, keep: boolean): Promise<FileEntry & { bytes?: Buffer }> {
  if (!keep) return { size: (await stat(path)).size, sha256: await digestFile(path) };
  const bytes = await readFile(path);
  return { size: bytes.length, sha256: digestOf(bytes), bytes };
}

function take(folder: string, files: ReadonlyMap<string, Buffer>, name: string): Buffer {
  const bytes = files.get(name);
  if (!bytes) throw corrupt(folder, `it has no ${name}`);
  return bytes;
}

function parse(folder: string, name: string, bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch (error) {
    throw corrupt(folder, `${name} is not JSON`, error);
  }
}

function missing(path: string, cause: unknown): MaasError {
  return new MaasError('MAAS_RELEASE_MISSING', `there is no release at ${path}`, { cause });
}

function corrupt(folder: string, what: string, cause?: unknown): MaasError {
  return new MaasError('MAAS_ARTIFACT_CORRUPT', `the release in ${folder} is refused: ${what}`, {
    place: { file: folder },
    hint: 'Run `maas deploy --force` to make the release again, or `maas deploy --rollback` to go back.',
    cause,
  });
}
