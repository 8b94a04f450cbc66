import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { maasJson, makeProject, post, serve, type RunJson, type TemporaryProject } from './maas.js';

const side = 8;

/** A bright bar, which lies or stands; the label turns with the sign of a number and for one of two places. */
function draw(row: number): { fields: Record<string, number | string>; label: string } {
  const [at, lies] = [(row * 5) % side, row % 2 === 0];
  const fields: Record<string, number | string> = {};
  for (let cell = 0; cell < side * side; cell++) {
    const bright = lies ? Math.floor(cell / side) === at : cell % side === at;
    fields[`x${cell}`] = Number((((row * 131 + cell * 71) % 17) / 17 + (bright ? 3 : 0)).toFixed(3));
  }
  const [tilt, place] = [((row * 37) % 19) - 9.5, row % 3 === 0 ? 'left' : 'right'];
  const turned = tilt > 0 !== (place === 'left');
  return { fields: { ...fields, tilt, place }, label: lies !== turned ? 'flat' : 'tall' };
}

let project: TemporaryProject;
let run: RunJson;
beforeAll(async () => {
  project = await makeProject();
  const rows = Array.from({ length: 600 }, (_, row) => draw(row));
  const header = [...Object.keys(rows[0]!.fields), 'kind'].join();
  const lines = rows.map(({ fields, label }) => [...Object.values(fields), label].join());
  await writeFile(join(project.path, 'rows.csv'), [header, ...lines, ''].join('\n'));
  const layers = [
    { reshape: { targetShape: [1, side, side], inputs: 'picture' } },
    { conv2d: { filters: 8, kernelSize: 3, activation: 'relu' } },
    'globalMaxPooling2d',
    { dense: { units: 8, name: 'seen' } },
    { dense: { units: 8, activation: 'relu', inputs: 'facts', name: 'known' } },
    { concatenate: { inputs: ['seen', 'known'] } },
    { dense: { units: 32, activation: 'relu' } },
    { dense: { units: 16, activation: 'relu' } },
    'dense',
  ];
  await writeFile(
    join(project.path, 'maas.config.yaml'),
    JSON.stringify({
      name: 'branches',
      data: { source: 'rows.csv', target: 'kind' },
      train: {
        model: { inputs: { picture: 'x*', facts: ['tilt', 'place'] }, layers },
        optimizer: { adam: { learningRate: 0.005 } },
        epochs: 60,
        gates: { accuracy: { min: 0.9 } },
      },
      compress: { passes: ['quantize'], gates: { accuracy: { maxDrop: 0.05 } } },
      deploy: { target: 'local' },
    }),
  );
  run = await maasJson<RunJson>(project.path, ['run']);
}, 240_000);
afterAll(() => project.remove());

it('trains a branch for each input, compresses and releases them', () => {
  expect(run.status).toBe('done');
  expect(Object.keys(run.stages)).toEqual(['train', 'compress', 'deploy']);
});

it('serves rows of raw features as ever', async () => {
  const server = await serve(project.path);
  try {
    let right = 0;
    for (let row = 1000; row < 1020; row++) {
      const { fields, label } = draw(row);
      const answer = await post<{ label: string }>(`${server.url}/predict`, fields);
      right += Number(answer.label === label);
    }
    expect(right).toBeGreaterThanOrEqual(17);
  } finally {
    await server.stop();
  }
}, 60_000);
