import { createHash } from 'node:crypto';
import { chmod, cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { execa } from 'execa';
import { MaasError } from '../../../src/errors.js';
import { canonicalJson, type Manifest } from '../../../src/artifacts/index.js';
import type { Release } from '../../../src/plugin/api.js';
import { readInstructionSet } from '../../../src/runtime/cpu.js';
import { verifyRelease } from '../../../src/stages/deploy/verify.js';
import { makeRelease } from './make-release.js';

const script = fileURLToPath(new URL('./fake-server.mjs', import.meta.url));
const verifyScript = fileURLToPath(new URL('./verifies.mjs', import.meta.url));
let root: string;
let release: Release;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-verify-'));
  release = (await makeRelease(join(root, 'project'))).artifact;
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** Processes that were started with our release in their arguments. */
async function childrenAlive(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  );
  return lines.filter((line) => line.includes(root));
}

function verify(mode: string, { timeout = 10, signal = new AbortController().signal } = {}) {
  return verifyRelease(release, { script, args: ['--mode', mode], timeout, signal });
}

async function failureOf(mode: string, timeout?: number): Promise<MaasError> {
  const error: unknown = await verify(mode, { timeout }).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(MaasError);
  expect((error as MaasError).code).toBe('MAAS_VERIFY_FAILED');
  expect(await childrenAlive()).toEqual([]);
  return error as MaasError;
}

describe('verifyRelease', () => {
  it('passes a candidate that answers its golden rows, and leaves no process', async () => {
    const verification = await verify('good');
    expect(verification.rows).toBeGreaterThan(10);
    expect(verification.maxError).toBe(0);
    expect(verification.readyMs).toBeGreaterThan(0);
    expect(verification.medianMs).toBeGreaterThan(0);
    expect(await childrenAlive()).toEqual([]);
  });

  it('tells of a model that was compressed for other processors', async () => {
    const here = await readInstructionSet();
    expect((await verify('good')).misfit).toBeUndefined();
    const path = join(root, 'other');
    await cp(release.path, path, { recursive: true });
    const manifest = JSON.parse(await readFile(join(path, 'manifest.json'), 'utf8')) as Manifest;
    const target = here === 'arm64' ? 'avx2' : 'arm64';
    const metrics = { ...manifest.metrics, target };
    await chmod(path, 0o755);
    await rm(join(path, 'manifest.json'), { force: true });
    const text = canonicalJson({ ...manifest, metrics });
    await writeFile(join(path, 'manifest.json'), text);
    const digest = createHash('sha256').update(text).digest('hex');
    const run = { script, args: ['--mode', 'good'], timeout: 10, signal: new AbortController().signal };
    const { misfit } = await verifyRelease({ digest, path }, run);
    expect(misfit ?? `for ${target}`).toContain(`for ${target}`);
    expect(misfit === undefined).toBe(here === undefined);
  });

  it('tells which row and output differ, with expected and got', async () => {
    const error = await failureOf('wrong');
    expect(error.details).toMatchObject({ row: 1, way: '/v2 infer', output: 'probabilities' });
    const [expected, got] = [error.details!['expected'], error.details!['got']] as [number[], number[]];
    expect(got[0]! - expected[0]!).toBeCloseTo(0.01);
  });

  it('compares what /predict answers too', async () => {
    const error = await failureOf('wrong-label');
    expect(error.details).toMatchObject({ row: 2, way: '/predict', output: 'label', got: ['nonsense'] });
  });

  it('hands on what the candidate says when it refuses a row', async () => {
    expect((await failureOf('refuses')).message).toMatch(/\/predict with 400.*unknown field/);
  });

  it('refuses a candidate that serves another digest', async () => {
    expect((await failureOf('other-digest')).message).toContain(`instead of ${release.digest}`);
  });

  it('shows the stderr of a candidate that dies', async () => {
    expect((await failureOf('dies')).message).toMatch(/exit code 4[^]*the model is broken/);
  });

  it('notices a candidate that dies under a request', async () => {
    expect((await failureOf('crash')).message).toContain('exit code 3');
  });

  it.each([
    ['silent', 1, 'to start'],
    ['never-ready', 1, 'to be ready'],
    // Long enough for a busy machine to get through all that comes before the stop.
    ['deaf', 4, 'to stop'],
  ])('gives up in time on a candidate that is %s', async (mode, seconds, last) => {
    const error = await failureOf(mode, seconds);
    expect(error.message).toContain(`after ${seconds} s, waiting for the candidate ${last}`);
    expect(error.hint).toContain('deploy.verify.timeout');
  });

  it('refuses a candidate that is slower than its budget, and passes it without one', async () => {
    const run = { script, args: ['--mode', 'slow'], timeout: 10, signal: new AbortController().signal };
    await expect(verifyRelease(release, { ...run, maxLatencyMs: 10 })).rejects.toMatchObject({
      code: 'MAAS_VERIFY_FAILED',
      message: expect.stringMatching(/takes \d+\.\d\d ms for one row .*budget is 10 ms/) as string,
      details: { maxLatencyMs: 10 },
    });
    expect(await childrenAlive()).toEqual([]);
    expect((await verifyRelease(release, run)).medianMs).toBeGreaterThan(10);
  });

  it('refuses a candidate that does not stop cleanly', async () => {
    expect((await failureOf('unclean')).message).toContain('exit code 1');
  });

  it('leaves no process when it is interrupted', async () => {
    const abort = new AbortController();
    const reason = new MaasError('MAAS_INTERRUPTED', 'stopped');
    const verification = verify('never-ready', { signal: abort.signal });
    setTimeout(() => {
      abort.abort(reason);
    }, 300);
    await expect(verification).rejects.toBe(reason);
    expect(await childrenAlive()).toEqual([]);
  });

  it('leaves no process when we are killed', async () => {
    const verifier = execa(process.execPath, [verifyScript, script, release.path], { reject: false });
    const started = async () => (await childrenAlive()).some((line) => line.includes('never-ready'));
    await expect.poll(started, { timeout: 10_000 }).toBe(true);
    verifier.kill('SIGKILL');
    await verifier;
    await expect.poll(childrenAlive, { timeout: 5_000 }).toEqual([]);
  });
});
