import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmod, cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canonicalJson } from '../../../src/artifacts/index.js';
import { readEntry } from '../../../src/artifacts/digest.js';
import type { Manifest } from '../../../src/artifacts/manifest.js';
import type { Project } from '../../../src/plugin/api.js';
import { deployStage } from '../../../src/stages/deploy/index.js';
import { checkProvenance, provenanceName } from '../../../src/stages/deploy/provenance.js';
import {
  buildRelease,
  type Built,
  makeModel,
  makeProject,
  makeRelease,
  runEffect,
  stageContext,
} from './make-release.js';

let root: string;
let mine: KeyObject;
let signed: Built;
let unsigned: Built;

function makePair(): { key: string; trust: string; public: KeyObject } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  return { key, trust: publicKey.export({ type: 'spki', format: 'pem' }) as string, public: publicKey };
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-provenance-'));
  const { key, trust, public: open } = makePair();
  mine = open;
  await writeFile(join(root, 'key.pem'), key);
  await writeFile(join(root, 'key.pub.pem'), trust);
  signed = await make('signed', { sign: { key: '../key.pem' }, trust: ['../key.pub.pem'] });
  unsigned = await make('unsigned', {});
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function make(folder: string, deploy: object): Promise<Built> {
  return makeRelease(folder, 0, await makeProject(join(root, folder), deploy));
}

function readStatement(text: string) {
  const { payload } = JSON.parse(text) as { payload: string };
  return JSON.parse(Buffer.from(payload, 'base64').toString('utf8')) as {
    subject: { name: string; digest: { sha256: string } }[];
    predicate: { buildDefinition: { resolvedDependencies: { name: string; digest: { sha256: string } }[] } };
  };
}

/** A copy of the signed release that somebody has changed and made whole again: a manifest that fits, a folder named by its digest. */
async function forge(change: (folder: string) => Promise<void>): Promise<string> {
  const draft = await mkdtemp(join(root, 'forged-'));
  await cp(signed.artifact.path, draft, { recursive: true });
  await change(draft);
  const manifest = JSON.parse(await readFile(join(draft, 'manifest.json'), 'utf8')) as Manifest;
  const names = Object.keys(manifest.files);
  const files = Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readEntry(join(draft, name))] as const)),
  );
  const text = canonicalJson({ ...manifest, files });
  await chmod(join(draft, 'manifest.json'), 0o644);
  await writeFile(join(draft, 'manifest.json'), text);
  const folder = join(dirname(draft), createHash('sha256').update(text).digest('hex'));
  await cp(draft, folder, { recursive: true });
  return folder;
}

async function overwrite(file: string, text: string): Promise<void> {
  await chmod(file, 0o644);
  await writeFile(file, text);
}

describe('the provenance of a release', () => {
  it('tells every file and what they were made from', async () => {
    const { artifact, model } = unsigned;
    const statement = readStatement(await readFile(join(artifact.path, provenanceName), 'utf8'));
    const { [provenanceName]: own, ...files } = artifact.manifest.files;
    expect(own).toBeDefined();
    expect(Object.fromEntries(statement.subject.map(({ name, digest }) => [name, digest.sha256]))).toEqual(
      Object.fromEntries(Object.entries(files).map(([name, { sha256 }]) => [name, sha256])),
    );
    const from = statement.predicate.buildDefinition.resolvedDependencies;
    expect(from.map(({ name }) => name)).toEqual(['data', 'train']);
    expect(from[1]!.digest.sha256).toBe(model.digest);
  });

  it('is signed, the same bytes each time, and another release for another key', async () => {
    const again = await make('again', { sign: { key: await readFile(join(root, 'key.pem'), 'utf8') } });
    expect(again.artifact.digest).toBe(signed.artifact.digest);
    expect(signed.artifact.digest).not.toBe(unsigned.artifact.digest);
    const other = await make('other', { sign: { key: makePair().key } });
    expect(other.artifact.digest).not.toBe(signed.artifact.digest);
    await expect(checkProvenance(signed.artifact.path, [makePair().public, mine])).resolves.toMatch(
      /^[0-9a-f]{64}$/,
    );
  });

  it('is not believed when nobody signed it, when somebody else did, or when it is of other files', async () => {
    const refusal = async (path: string, keys: KeyObject[]): Promise<void> => {
      await expect(checkProvenance(path, keys)).rejects.toMatchObject({ code: 'MAAS_UNTRUSTED' });
    };
    await refusal(unsigned.artifact.path, [mine]);
    await refusal(signed.artifact.path, [makePair().public]);
    await refusal(await forge((folder) => overwrite(join(folder, 'golden.json'), '{}')), [mine]);
    const nonsense = await forge((folder) => overwrite(join(folder, provenanceName), 'nonsense'));
    expect(basename(nonsense)).toHaveLength(64);
    await refusal(nonsense, [mine]);
    await refusal(
      await forge((folder) => overwrite(join(folder, provenanceName), '{"payload":"e30=","signatures":[]}')),
      [mine],
    );
  });

  it('decides whether a release is switched to', async () => {
    const deploy = { trust: [join(root, 'key.pub.pem')] };
    const project: Project = await makeProject(join(root, 'refused'), deploy);
    const model = await makeModel(project, unsigned.store);
    await expect(runEffect(await buildRelease(project, unsigned.store, model))).rejects.toMatchObject({
      code: 'MAAS_UNTRUSTED',
    });
  });
});

describe('a key', () => {
  it.each([
    ['that is not there', { key: 'nowhere.pem' }, /cannot read the key .*ENOENT/],
    [
      'that is none',
      { key: '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----' },
      /no key in PEM/,
    ],
    [
      'of another kind',
      {
        key: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
          type: 'pkcs8',
          format: 'pem',
        }),
      },
      /a key for ec, not for Ed25519/,
    ],
    [
      'with another passphrase',
      {
        key: generateKeyPairSync('ed25519').privateKey.export({
          type: 'pkcs8',
          format: 'pem',
          cipher: 'aes-256-cbc',
          passphrase: 'right',
        }),
        passphrase: 'wrong',
      },
      /its passphrase is another/,
    ],
  ])('%s is refused before anything is built', async (_, sign, message) => {
    const project = await makeProject(join(root, 'keys'), { sign });
    const context = stageContext(project, signed.store, signed.model);
    await expect(deployStage.key!(context)).rejects.toMatchObject({
      code: 'MAAS_CONFIG_INVALID',
      message: expect.stringMatching(message) as string,
    });
  });
});
