import { Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import type { ListrTask } from 'listr2';
import { describe, expect, it } from 'vitest';
import { runTasks, type ProgressMode } from '../../src/ui/run-tasks.js';

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function stages(fail: boolean): ListrTask[] {
  return [
    {
      title: 'Train',
      task: (_, train) =>
        train.newListr([
          {
            title: 'Load data',
            task: (_context, task) => {
              task.title = 'Loaded 150 rows';
            },
          },
          {
            title: 'Fit',
            task: async (_context, task) => {
              for (let epoch = 1; epoch <= 200; epoch++) task.output = `epoch ${epoch}/200`;
              await pause(250);
              if (fail) throw new RangeError('diverged');
            },
          },
        ]),
    },
    { title: 'Compress', skip: 'not asked for', task: () => undefined },
  ];
}

async function show(mode: ProgressMode, fail = false): Promise<{ text: string; error: unknown }> {
  let text = '';
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  }) as unknown as NodeJS.WriteStream;
  stream.columns = 80;
  const error = await runTasks(stages(fail), { mode, stream, color: false }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { text, error };
}

describe('runTasks', () => {
  it('writes one line per thing that happened, with live output thinned out', async () => {
    const { text, error } = await show('lines');
    expect(error).toBeUndefined();
    expect(text.replace(/\(0\.\d s\)/g, '(T)').split('\n')).toEqual([
      '→ Train',
      '  ✔ Loaded 150 rows',
      '    epoch 1/200',
      '    epoch 200/200',
      '  ✔ Fit (T)',
      '✔ Train (T)',
      '→ Compress',
      '↓ Compress (skipped: not asked for)',
      '',
    ]);
  });

  it('stops at the task that failed and rejects with its error', async () => {
    const { text, error } = await show('lines', true);
    expect(error).toEqual(new RangeError('diverged'));
    expect(text).toContain('  ✖ Fit (failed)\n✖ Train (failed)');
    expect(text).not.toContain('Compress');
  });

  it('draws a tree, and does not redraw it for every line of output', async () => {
    const { text, error } = await show('tree');
    expect(error).toBeUndefined();
    const last = stripVTControlCharacters(text).trimEnd().split('\n').slice(-5);
    expect(last.map((line) => line.replace(/\[0\.\d s\]/, '[T]'))).toEqual([
      '✔ Train [T]',
      '  ✔ Loaded 150 rows',
      '  ✔ Fit [T]',
      '↓ Compress',
      '  ↓ not asked for',
    ]);
    expect(text, 'live output').toContain('epoch 200/200');
    // 200 reports within one tick of the clock must not mean 200 frames.
    expect(text.split('Train').length).toBeLessThan(40);
  });

  it('leaves the message of a failure to the error printer', async () => {
    const { text, error } = await show('tree', true);
    expect(error).toEqual(new RangeError('diverged'));
    expect(stripVTControlCharacters(text)).toContain('✖ Fit');
    expect(text).not.toContain('diverged');
  });

  it('is silent when asked', async () => {
    expect(await show('silent')).toEqual({ text: '', error: undefined });
  });
});
