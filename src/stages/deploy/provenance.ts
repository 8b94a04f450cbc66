import type { KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { canonicalJson, type Artifact, type FileEntry, type Manifest } from '../../artifacts/index.js';
import { type Envelope, keyId, openEnvelope, sealEnvelope } from '../../artifacts/dsse.js';
import { readArtifact } from '../../artifacts/verify.js';
import type { Signature } from '../../data/index.js';
import { MaasError } from '../../errors.js';
import { readToolchain } from '../toolchain.js';

/** Of a release: one envelope on one line, as in-toto and SLSA tools keep them. */
export const provenanceName = 'provenance.intoto.jsonl';

const payloadType = 'application/vnd.in-toto+json';

/** in-toto Statement v1, with SLSA's provenance v1 as its predicate. */
interface Statement {
  readonly _type: 'https://in-toto.io/Statement/v1';
  readonly subject: readonly { readonly name: string; readonly digest: { readonly sha256: string } }[];
  readonly predicateType: 'https://slsa.dev/provenance/v1';
  readonly predicate: object;
}

export interface Origin {
  readonly name: string;
  readonly seed: number;
  readonly model: Artifact;
  readonly signature: Signature;
}

/**
 * Tells which files a release has, and what they were made from. Nothing in it is of the moment or of the machine.
 * @param files All files of the release but this one.
 * @param key Signs it; without one the envelope has no signature.
 */
export function writeProvenance(
  files: Readonly<Record<string, FileEntry>>,
  { name, seed, model, signature }: Origin,
  key: KeyObject | undefined,
): string {
  const { stage, inputs, options } = model.manifest;
  const made = { [stage]: model.digest, ...inputs };
  const statement: Statement = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: Object.keys(files)
      .sort()
      .map((file) => ({ name: file, digest: { sha256: files[file]!.sha256 } })),
    predicateType: 'https://slsa.dev/provenance/v1',
    predicate: {
      buildDefinition: {
        buildType: 'https://maas.dev/release/v1',
        externalParameters: { name, seed, options: { [stage]: options } },
        resolvedDependencies: [
          { name: 'data', digest: { sha256: signature.data.digest } },
          ...Object.entries(made).map(([from, sha256]) => ({ name: from, digest: { sha256 } })),
        ],
      },
      runDetails: { builder: { id: 'https://maas.dev/maas', version: { ...readToolchain() } } },
    },
  };
  const envelope = sealEnvelope(payloadType, Buffer.from(canonicalJson(statement)), key ? [key] : []);
  return `${canonicalJson(envelope)}\n`;
}

/**
 * Holds a release's provenance against the keys that are trusted.
 * @returns id of the key that signed it.
 * @throws MaasError MAAS_UNTRUSTED when none of the keys has signed it, or it is of other files than the release has.
 */
export async function checkProvenance(path: string, keys: readonly KeyObject[]): Promise<string> {
  const { digest, manifest } = await readArtifact('deploy', path, false);
  const refuse = (what: string, cause?: unknown): MaasError =>
    new MaasError('MAAS_UNTRUSTED', `release ${digest.slice(0, 12)} ${what}`, {
      place: { file: join(path, provenanceName) },
      cause,
    });
  if (!Object.hasOwn(manifest.files, provenanceName)) throw refuse('does not tell where it is from');
  let envelope: Envelope;
  let statement: Statement | undefined;
  let signer: KeyObject | undefined;
  try {
    envelope = JSON.parse(await readFile(join(path, provenanceName), 'utf8')) as Envelope;
    for (const key of keys) {
      const payload = openEnvelope(envelope, [key]);
      if (payload === undefined) continue;
      statement = JSON.parse(payload.toString('utf8')) as Statement;
      signer = key;
      break;
    }
  } catch (error) {
    throw refuse('has a provenance that cannot be read', error);
  }
  if (envelope.signatures.length === 0) throw refuse('is not signed');
  if (statement === undefined || envelope.payloadType !== payloadType) {
    throw refuse('is signed with a key that is not trusted');
  }
  const other = differs(statement, manifest);
  if (other !== undefined) throw refuse(`has another ${other} than the one that was signed`);
  return keyId(signer!);
}

/** The first file that the statement and the manifest do not agree on. */
function differs({ subject }: Statement, { files }: Manifest): string | undefined {
  const signed = new Map(subject.map(({ name, digest }) => [name, digest.sha256]));
  const names = new Set([...signed.keys(), ...Object.keys(files)]);
  names.delete(provenanceName);
  return [...names].find((name) => signed.get(name) !== files[name]?.sha256);
}
