import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { maasJson, makeProject, post, serve, type RunJson, type TemporaryProject } from './maas.js';

const side = 8;
const classes = ['horizontal', 'vertical', 'square'];

/** A bright bar or square at a place that changes with the row, on noise. */
function draw(row: number): { pixels: number[]; label: string } {
  const label = classes[row % 3]!;
  const [x, y] = [(row * 7) % 6, (row * 5) % 6];
  const pixels = Array.from({ length: side * side }, (_, at) => {
    const [across, down] = [at % side, Math.floor(at / side)];
    const [inColumns, inRows] = [across >= x && across < x + 3, down >= y && down < y + 3];
    const bright =
      label === 'horizontal' ? down === y + 1 : label === 'vertical' ? across === x + 1 : inColumns && inRows;
    const noise = ((row * 131 + at * 71) % 17) / 17;
    return Number((noise + (bright ? 3 : 0)).toFixed(3));
  });
  return { pixels, label };
}

const toRow = ({ pixels }: { pixels: number[] }) =>
  Object.fromEntries(pixels.map((value, at) => [`p${at}`, value]));

describe('maas run on images in rows of numbers', () => {
  let project: TemporaryProject;
  let run: RunJson;

  beforeAll(async () => {
    project = await makeProject();
    const header = [...Array.from({ length: side * side }, (_, at) => `p${at}`), 'kind'];
    const lines = Array.from({ length: 360 }, (_, row) => {
      const { pixels, label } = draw(row);
      return [...pixels, label].join();
    });
    await writeFile(join(project.path, 'images.csv'), [header.join(), ...lines, ''].join('\n'));
    const cnn = { shape: [1, side, side], filters: [8, 16], units: [32] };
    await writeFile(
      join(project.path, 'maas.config.yaml'),
      JSON.stringify({
        name: 'bars',
        data: { source: 'images.csv', target: 'kind' },
        train: {
          model: { preset: { cnn } },
          optimizer: { adam: { learningRate: 0.003 } },
          epochs: 12,
          gates: { accuracy: { min: 0.95 } },
        },
        compress: { passes: ['quantize'], gates: { accuracy: { maxDrop: 0.03 } } },
        deploy: { target: 'local' },
      }),
    );
    run = await maasJson<RunJson>(project.path, ['run']);
  }, 240_000);
  afterAll(() => project.remove());

  it('trains the preset cnn, compresses it and releases it', () => {
    expect(run.status).toBe('done');
    expect(run.stages['train']!.metrics).toMatchObject({ accuracy: expect.any(Number) as number });
    expect(Object.keys(run.stages)).toEqual(['train', 'compress', 'deploy']);
  });

  it('serves what it has learnt', async () => {
    const server = await serve(project.path);
    try {
      for (let row = 1000; row < 1012; row++) {
        const image = draw(row);
        const answer = await post<{ label: string }>(`${server.url}/predict`, toRow(image));
        expect(answer.label).toBe(image.label);
      }
    } finally {
      await server.stop();
    }
  }, 60_000);
});
