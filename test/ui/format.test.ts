import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { formatBytes, formatDuration, formatNumber, shortDigest } from '../../src/ui/format.js';
import { describeProgress } from '../../src/ui/progress.js';
import { createStyle } from '../../src/ui/style.js';
import { formatTable } from '../../src/ui/table.js';

describe('formats for people', () => {
  it.each([
    [0.04, '0.0 s'],
    [9.94, '9.9 s'],
    [59.4, '59 s'],
    [59.6, '1 min 00 s'],
    [185, '3 min 05 s'],
    [7799, '2 h 10 min'],
    [Infinity, '?'],
  ])('writes %d seconds as %s', (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text);
  });

  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [999.6, '1.0 kB'],
    [40_640, '40.6 kB'],
    [999_600, '1.0 MB'],
    [123_456_789, '123 MB'],
  ])('writes %d bytes as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it.each([
    [60, '60'],
    [0.966666, '0.9667'],
    [12.3456, '12.35'],
    [4119.6, '4,120'],
    [1.49e-7, '1.5e-7'],
    [NaN, 'NaN'],
  ])('writes the figure %d as %s', (value, text) => {
    expect(formatNumber(value)).toBe(text);
  });

  it('shortens a digest to what people type', () => {
    expect(shortDigest('0123456789abcdef0123')).toBe('0123456789ab');
  });
});

describe('describeProgress', () => {
  const base = { epoch: 3, epochs: 60, step: 7, steps: 7, loss: 0.51234, samplesPerSecond: 0, eta: 0 };

  it('leaves out what is not known yet', () => {
    expect(describeProgress()(base)).toBe('epoch 3/60 · loss 0.5123');
  });

  it('shows validation figures, throughput and the time left', () => {
    const line = describeProgress()({
      ...base,
      samplesPerSecond: 34567.8,
      eta: 3,
      validation: { accuracy: 0.95 },
    });
    expect(line).toBe('epoch 3/60 · loss 0.5123 · validation accuracy 0.95 · 34,568 rows/s · 3.0 s left');
  });

  it('looks back on the epochs before', () => {
    const describeNext = describeProgress();
    describeNext({ ...base, epoch: 1, loss: 4, validation: { loss: 3 } });
    describeNext({ ...base, epoch: 2, loss: 2, validation: { loss: 4 } });
    expect(describeNext({ ...base, loss: 0, stepsPerSecond: 7.25, samplesPerSecond: 200 })).toBe(
      'epoch 3/60 · loss 0 █▅▁ · validation loss 4 ▁█ · 7.3 steps/s · 200 rows/s',
    );
  });
});

describe('formatTable', () => {
  it('lines columns up whatever their colours', () => {
    const style = createStyle(true);
    const text = formatTable(
      [
        [style.green('train'), '1.5'],
        ['compress', '10'],
      ],
      { header: ['stage', 'seconds'], right: [1] },
    );
    expect(text.split('\n').map((line) => stripVTControlCharacters(line))).toEqual([
      'stage     seconds',
      'train         1.5',
      'compress       10',
    ]);
  });

  it('writes nothing for nothing', () => {
    expect(formatTable([])).toBe('');
  });
});

describe('createStyle', () => {
  it('paints or leaves text plain', () => {
    expect(createStyle(false).red('x')).toBe('x');
    expect(createStyle(true).red('x')).toBe('\u001b[31mx\u001b[39m');
  });
});

describe('lines of ranks', () => {
  const progress = {
    ...{ epoch: 1, epochs: 2, step: 1, steps: 2, loss: 0.5 },
    ...{ samplesPerSecond: 0, stepsPerSecond: 50, eta: 0 },
  };

  it('tells of each rank, and which of them holds the others up', () => {
    const [, ...lines] = describeProgress()({ ...progress, ranks: [10, 10, 16] }).split('\n');
    expect(lines).toEqual([
      'rank 0 · computes 10 of 20 ms a step',
      'rank 1 · computes 10 of 20 ms a step',
      'rank 2 · computes 16 of 20 ms a step · 33 % longer than the mean',
    ]);
  });

  it('shows the slowest of many, and none before the first step', () => {
    const ranks = Array.from({ length: 64 }, (_, rank) => (rank === 40 ? 30 : 10));
    const [, ...lines] = describeProgress()({ ...progress, ranks }).split('\n');
    expect(lines).toHaveLength(8);
    expect(lines[0]).toMatch(/^rank 40 .* 191 % longer/);
    expect(describeProgress()({ ...progress, ranks: [0, 0] })).not.toContain('rank');
  });
});
