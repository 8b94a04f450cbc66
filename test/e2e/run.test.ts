import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  maas,
  maasJson,
  makeProject,
  post,
  serve,
  startMaas,
  type RunJson,
  type Server,
  type StageJson,
  type TemporaryProject,
} from './maas.js';

const setosa = { sepal_length: 5.1, sepal_width: 3.5, petal_length: 1.4, petal_width: 0.2 };
const virginica = { sepal_length: 6.7, sepal_width: 3.0, petal_length: 5.2, petal_width: 2.3 };

/** Every file of the artifacts that a run points to, by stage and name. */
async function readArtifacts({ stages }: RunJson): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const { stage, artifact } of Object.values(stages)) {
    for (const name of await readdir(artifact)) {
      files.set(`${stage}/${name}`, await readFile(join(artifact, name)));
    }
  }
  return files;
}

describe('maas run on the template', () => {
  let project: TemporaryProject;
  let first: RunJson;

  beforeAll(async () => {
    project = await makeProject();
    first = await maasJson<RunJson>(project.path, ['run']);
  }, 120_000);
  afterAll(() => project.remove());

  it('goes from data to a release', () => {
    expect(first.status).toBe('done');
    expect(Object.keys(first.stages)).toEqual(['train', 'compress', 'deploy']);
    for (const stage of Object.values(first.stages)) {
      expect(stage).toMatchObject({
        status: 'done',
        digest: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      });
    }
    expect(first.release?.digest).toBe(first.stages['deploy']!.digest);
  });

  it('has nothing to do the second time', async () => {
    const { code, stdout, seconds } = await maas(project.path, ['run', '--json']);
    const second = JSON.parse(stdout) as RunJson;
    expect({ code, status: second.status }).toEqual({ code: 0, status: 'cached' });
    for (const [name, stage] of Object.entries(second.stages)) {
      expect(stage).toMatchObject({ status: 'cached', digest: first.stages[name]!.digest });
      expect(stage.why).toEqual(['nothing changed']);
    }
    console.log(`a run that has nothing to do took ${seconds.toFixed(2)} s`);
    expect(seconds).toBeLessThan(10);
  });

  it('says what would run and why, and changes nothing', async () => {
    const set = ['--set', 'train.epochs=3'];
    const planned = await maasJson<RunJson>(project.path, ['run', '--dry-run', ...set]);
    expect(planned.stages['train']).toMatchObject({ status: 'run' });
    expect(planned.stages['train']!.why.join()).toContain('options.epochs');
    expect(planned.stages['deploy']).toMatchObject({ status: 'run' });
    const { stdout } = await maas(project.path, ['run', '--dry-run', ...set]);
    expect(stdout).toMatch(/^train +run .*options\.epochs/m);
    expect(await maasJson<RunJson>(project.path, ['run'])).toMatchObject({ status: 'cached' });
  });

  it('says in its status that all is fresh', async () => {
    const status = await maasJson<{ stages: Record<string, { state: string }>; release: string }>(
      project.path,
      ['status'],
    );
    expect(Object.values(status.stages).map(({ state }) => state)).toEqual(['fresh', 'fresh', 'fresh']);
    expect(status.release).toBe(first.release!.digest);
  });

  it('runs one stage alone from what is on disk', async () => {
    const outcome = await maasJson<StageJson>(project.path, ['compress', '--force']);
    expect(outcome).toMatchObject({
      stage: 'compress',
      status: 'done',
      digest: first.stages['compress']!.digest,
      why: ['forced'],
    });
  });

  it('runs a stretch of the pipeline', async () => {
    const part = await maasJson<RunJson>(project.path, ['run', '--from', 'compress', '--to', 'compress']);
    expect(Object.keys(part.stages)).toEqual(['compress']);
    expect(part.release).toBeNull();
    const { code, stderr } = await maas(project.path, ['run', '--from', 'deploy', '--to', 'train']);
    expect(code).toBe(2);
    expect(stderr).toContain('error[MAAS_USAGE]');
  });

  it('tells of its progress in events', async () => {
    const { events, ended } = startMaas(project.path, ['train', '--force']);
    expect(await ended).toMatchObject({ code: 0 });
    const names = events.map(({ event }) => event);
    expect(names[0]).toBe('stage-start');
    expect(names.filter((name) => name === 'train-progress').length).toBeGreaterThan(2);
    expect(names).toContain('stage-done');
    expect(events.at(-1)).toMatchObject({ event: 'result', stage: 'train', status: 'done' });
  });

  it('stops on Ctrl-C, and goes on with the same command', async () => {
    const train = ['train', '--set', 'seed=99'];
    const { child, next, ended, events } = startMaas(project.path, train);
    await next(({ event }) => event === 'train-progress');
    // Under npx it arrives twice.
    child.kill('SIGINT');
    child.kill('SIGINT');
    expect(await ended).toMatchObject({ code: 130 });
    expect(events.at(-1)).toMatchObject({ event: 'result', error: { code: 'MAAS_INTERRUPTED' } });
    expect(await maasJson<StageJson>(project.path, train)).toMatchObject({ status: 'done' });
    // Back to the model of before, which is still there.
    expect(await maasJson<StageJson>(project.path, ['train'])).toMatchObject({ status: 'cached' });
  });

  it('keeps stdout for results and stderr for progress', async () => {
    const normal = await maas(project.path, ['compress', '--force']);
    expect(normal.stdout).toMatch(/^compress {2}[0-9a-f]{12}/);
    expect(normal.stderr).toMatch(/✔ .*compress/);
    const quiet = await maas(project.path, ['compress', '--force', '--quiet']);
    expect({ code: quiet.code, stdout: quiet.stdout, stderr: quiet.stderr }).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    });
  });

  it('gives the same bytes in another folder, and others with another seed', async () => {
    const other = await makeProject();
    try {
      const same = await maasJson<RunJson>(other.path, ['run']);
      expect(await readArtifacts(same)).toEqual(await readArtifacts(first));
      expect(same.release!.digest).toBe(first.release!.digest);
      const differing = await maasJson<RunJson>(other.path, ['run', '--set', 'seed=12345']);
      for (const [name, stage] of Object.entries(differing.stages)) {
        expect(stage.digest, name).not.toBe(first.stages[name]!.digest);
      }
    } finally {
      await other.remove();
    }
  }, 120_000);

  describe('served', () => {
    let server: Server;
    beforeAll(async () => {
      server = await serve(project.path);
    });
    afterAll(() => server.stop('SIGKILL'));

    it('answers /predict for one flower and for many', async () => {
      expect(await post(`${server.url}/predict`, setosa)).toMatchObject({ label: 'setosa' });
      const answers = await post<{ label: string; probabilities: Record<string, number> }[]>(
        `${server.url}/predict`,
        [virginica, setosa],
      );
      expect(answers.map(({ label }) => label)).toEqual(['virginica', 'setosa']);
      for (const { probabilities } of answers) {
        const sum = Object.values(probabilities).reduce((total, value) => total + value, 0);
        expect(sum).toBeCloseTo(1, 4);
      }
    });

    it('answers the Open Inference Protocol', async () => {
      const models = (await (await fetch(`${server.url}/v2`)).json()) as { name: string };
      expect(models.name).toBeTypeOf('string');
      const name = server.events.find(({ event }) => event === 'serving')!['model'] as string;
      const answer = await post<{ model_version: string; outputs: { name: string; data: unknown[] }[] }>(
        `${server.url}/v2/models/${name}/infer`,
        {
          inputs: [{ name: 'features', datatype: 'FP32', shape: [1, 4], data: Object.values(virginica) }],
        },
      );
      expect(answer.model_version).toBe(first.release!.digest);
      expect(answer.outputs.find((output) => output.name === 'label')!.data).toEqual(['virginica']);
    });

    it('drains and ends with 0 on SIGTERM', async () => {
      expect((await server.stop()).code).toBe(0);
      await expect(fetch(server.url)).rejects.toThrow();
    });
  });

  it('serves a release folder without a project', async () => {
    const server = await serve('/', ['--release', first.release!.path]);
    expect(await post(`${server.url}/predict`, setosa)).toMatchObject({ label: 'setosa' });
    expect((await server.stop('SIGINT')).code).toBe(0);
  });

  it('goes on to serve when asked, and lists and rolls back releases', async () => {
    const { child, next, ended } = startMaas(project.path, [
      'run',
      '--serve',
      '--set',
      'train.epochs=40',
      '--set',
      'serve.port=0',
    ]);
    const serving = await next(({ event }) => event === 'serving');
    expect(await post(`${String(serving!['url'])}/predict`, setosa)).toMatchObject({ label: 'setosa' });
    child.kill('SIGTERM');
    expect(await ended).toMatchObject({ code: 0 });

    const before = await maasJson<{ releases: { digest: string; current: boolean }[] }>(project.path, [
      'deploy',
      '--list',
    ]);
    expect(before.releases.map(({ current }) => current)).toEqual([true, false]);
    const back = await maasJson<{ digest: string }>(project.path, ['deploy', '--rollback']);
    expect(back.digest).toBe(first.release!.digest);
    const { stdout } = await maas(project.path, ['deploy', '--list']);
    expect(stdout).toMatch(new RegExp(`^${first.release!.digest.slice(0, 12)} +current`, 'm'));
  }, 60_000);
});
