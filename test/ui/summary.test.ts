import { describe, expect, it } from 'vitest';
import type { Signature } from '../../src/data/signature.js';
import { curlLine } from '../../src/ui/curl-line.js';
import { summarize, type StageSummary } from '../../src/ui/summary.js';
import { planTable, releaseTable, statusTable } from '../../src/ui/tables.js';

const digest = (letter: string) => letter.repeat(64);
const train: StageSummary = {
  stage: 'train',
  status: 'cached',
  digest: digest('a'),
  metrics: { accuracy: 0.95833, weightedF1: 0.9, 'recall.setosa': 1, rows: { test: 24 } },
  measured: {},
  notes: [],
  seconds: 0.01,
  why: ['nothing changed'],
};
const compress: StageSummary = {
  stage: 'compress',
  status: 'done',
  digest: digest('b'),
  metrics: { accuracy: 0.95, agreement: 1, before: { accuracy: 0.95833 }, bytes: 23_104, sizeRatio: 0.3239 },
  measured: { latency: [{ batch: 1, before: 17.98, after: 20.18, ratio: 1.122 }, { batch: 64 }] },
  notes: [],
  seconds: 0.8,
  why: ['options.passes changed'],
};
const deploy: StageSummary = {
  stage: 'deploy',
  status: 'done',
  digest: digest('c'),
  metrics: compress.metrics,
  measured: {},
  notes: ['verified'],
  seconds: 61,
  why: ['compress ran'],
};

describe('summarize', () => {
  it('gives each stage a line and shows what compression changed', () => {
    expect(summarize([train, compress, deploy], { color: false }).split('\n')).toEqual([
      'train     aaaaaaaaaaaa  cached      accuracy 0.9583',
      'compress  bbbbbbbbbbbb  0.8 s',
      'deploy    cccccccccccc  1 min 01 s  verified',
      '',
      '                  BEFORE     AFTER',
      'accuracy          0.9583      0.95',
      'size             71.3 kB   23.1 kB  0.32 ×',
      'time for 1 row  17.98 µs  20.18 µs  1.12 ×',
    ]);
  });

  it('shows which labels were taken for which, if there are few', () => {
    const confusion = {
      labels: ['a', 'b', 'never'],
      counts: [
        [3, 1, 0],
        [0, 4, 0],
        [0, 0, 0],
      ],
    };
    const text = summarize([{ ...train, metrics: { ...train.metrics, confusion } }], { color: false });
    expect(text.split('\n').slice(1)).toEqual([
      '',
      'TRUTH \\ PREDICTED  a  b  never  RECALL',
      'a                  3  1      0    0.75',
      'b                  0  4      0       1',
      'never              0  0      0       -',
    ]);
    const labels = Array.from({ length: 13 }, (_, at) => String(at));
    const many = { labels, counts: labels.map(() => labels.map(() => 0)) };
    const short = summarize([{ ...train, metrics: { confusion: many } }], { color: false });
    expect(short.split('\n')).toHaveLength(1);
  });

  it('tells why instead when asked', () => {
    expect(summarize([train], { color: false, why: true })).toBe(
      'train  aaaaaaaaaaaa  cached  nothing changed',
    );
  });
});

describe('tables', () => {
  it('shows a plan', () => {
    const plans = [
      { stage: 'train', status: 'cached' as const, why: ['nothing changed'], digest: digest('a') },
      { stage: 'deploy', status: 'run' as const, why: ['never ran'] },
    ];
    expect(planTable(plans, { color: false }).split('\n')).toEqual([
      'STAGE   PLAN    ARTIFACT      WHY',
      'train   cached  aaaaaaaaaaaa  nothing changed',
      'deploy  run     -             never ran',
    ]);
  });

  it('shows where stages stand, with times near and far', () => {
    const now = new Date('2026-01-02T00:00:30Z');
    const statuses = [
      {
        stage: 'train',
        state: 'fresh' as const,
        digest: digest('a'),
        finishedAt: '2026-01-02T00:00:00Z',
        why: ['nothing changed'],
      },
      {
        stage: 'compress',
        state: 'stale' as const,
        digest: digest('b'),
        finishedAt: '2025-12-24T12:00:00Z',
        why: ['train is stale'],
      },
      { stage: 'deploy', state: 'never' as const, why: ['never ran'] },
    ];
    expect(statusTable(statuses, { color: false }, now).split('\n')).toEqual([
      'STAGE     STATE  ARTIFACT      MADE        WHY',
      'train     fresh  aaaaaaaaaaaa  30 s ago    nothing changed',
      'compress  stale  bbbbbbbbbbbb  2025-12-24  train is stale',
      'deploy    never  -             -           never ran',
    ]);
  });

  it('marks the current release', () => {
    const releases = [
      { digest: digest('c'), current: true, deployedAt: '2026-01-02T00:00:00Z' },
      { digest: digest('b'), current: false, deployedAt: undefined },
    ];
    expect(releaseTable(releases, { color: false }).split('\n')).toEqual([
      'RELEASE                DEPLOYED',
      'cccccccccccc  current  2026-01-02T00:00:00Z',
      'bbbbbbbbbbbb           -',
    ]);
    expect(releaseTable([], { color: false })).toBe('Nothing is deployed yet.');
  });
});

describe('curlLine', () => {
  it('asks about a plausible row, quoted for the shell', () => {
    const signature = {
      features: [
        { name: 'length', type: 'number', input: 'features', column: 0, min: 4.3, max: 7.9 },
        { name: "owner's", type: 'category', input: "owner's", column: 0, categories: ["O'Neill", 'B'] },
      ],
    } as unknown as Signature;
    expect(curlLine('http://127.0.0.1:8080', signature)).toBe(
      `curl -s http://127.0.0.1:8080/predict -H 'content-type: application/json' ` +
        String.raw`-d '{"length":6.1,"owner'\''s":"O'\''Neill"}'`,
    );
  });
});
