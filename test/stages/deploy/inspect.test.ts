import { generateKeyPairSync } from 'node:crypto';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openStore } from '../../../src/artifacts/index.js';
import type { Release, TargetContext } from '../../../src/plugin/api.js';
import { toleranceOf } from '../../../src/stages/deploy/golden.js';
import { localTarget, verifyDeployed } from '../../../src/stages/deploy/index.js';
import { deploy, makeContext, makePlainRelease, makeRoot } from '../../conformance/target-suite.js';

describe('a look at what is deployed', () => {
  let root: string;
  let release: Release;
  beforeEach(async () => {
    root = await makeRoot('maas-inspect-');
    release = await makePlainRelease(root, 'a');
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  function context(deployed: object = {}): TargetContext {
    const made = makeContext(root, localTarget.options.parse({}));
    // Nothing answers at the port for "discard".
    return { ...made, project: { ...made.project, config: { deploy: deployed, serve: { port: 9 } } } };
  }

  const look = (given = context()) =>
    verifyDeployed({ target: localTarget, context: given }, openStore(join(root, '.maas')));

  it('finds a release whole that is', async () => {
    await deploy(localTarget, context(), release);
    const { release: digest, checks } = await look();
    expect(digest).toBe(release.digest);
    expect(checks.map(({ name, state }) => [name, state])).toEqual([
      ['files', 'ok'],
      ['provenance', 'skipped'],
      ['answers', 'ok'],
      ['server at http://127.0.0.1:9', 'skipped'],
    ]);
  });

  it('finds a file that was changed, and changes nothing', async () => {
    await deploy(localTarget, context(), release);
    const file = join(root, '.maas/deploy/releases', release.digest, 'golden.json');
    await chmod(file, 0o644);
    await writeFile(file, '"b"');
    await expect(look()).rejects.toMatchObject({
      code: 'MAAS_VERIFY_FAILED',
      exitCode: 3,
      message: expect.stringContaining('files: ') as string,
    });
    expect(await readFile(file, 'utf8')).toBe('"b"');
    expect(await localTarget.current(context())).toBe(release.digest);
  });

  it('finds one that none of the trusted keys has signed', async () => {
    await deploy(localTarget, context(), release);
    const pem = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' });
    await expect(look(context({ trust: [pem] }))).rejects.toThrow(
      /provenance: .*does not tell where it is from/,
    );
  });

  it('tells when nothing is deployed', async () => {
    await expect(look()).rejects.toMatchObject({ code: 'MAAS_RELEASE_MISSING' });
  });
});

describe('what golden outputs may be off by', () => {
  const outputs = [0.6, 0.8, 0, 1];
  it('is the noise of rounding, where there is any', () => {
    expect(toleranceOf(undefined, true, outputs)).toBe(1e-4);
    expect(toleranceOf(40, false, outputs)).toBe(1e-4);
    // 40 dB: a hundredth of the outputs' root mean square, which is √0.5.
    expect(toleranceOf(40, true, outputs)).toBe(0.0071);
    expect(toleranceOf(120, true, outputs)).toBe(1e-4);
    expect(toleranceOf(6, true, outputs)).toBe(0.05);
    expect(toleranceOf(null, true, outputs)).toBe(1e-4);
  });
});
