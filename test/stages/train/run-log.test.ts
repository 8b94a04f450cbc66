import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { openStore } from '../../../src/artifacts/index.js';
import type { TrainProgress } from '../../../src/plugin/api.js';
import { crc32c, maskedCrc } from '../../../src/stages/train/run-log/crc32c.js';
import { decodeScalar } from '../../../src/stages/train/run-log/events.js';
import { openRunLog, type RunLog } from '../../../src/stages/train/run-log/open-run-log.js';
import { decodeRecords, encodeRecord } from '../../../src/stages/train/run-log/records.js';

const root = mkdtempSync(join(tmpdir(), 'maas-run-log-'));
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});
let count = 0;

/** A store with the work folder of a training. */
function makeRun() {
  const store = openStore(join(root, String(count++), '.maas'));
  const work = join(store.root, 'work', 'train', 'a'.repeat(64));
  mkdirSync(work, { recursive: true });
  return {
    store,
    work,
    checkpoint: () => {
      writeFileSync(join(work, 'checkpoint'), '');
    },
  };
}

const base = { epochs: 9, steps: 40, samplesPerSecond: 100, eta: 1 };
const step = (epoch: number, at: number): TrainProgress => ({
  ...base,
  epoch,
  step: at,
  loss: 1 / (epoch + at / 40),
});
const end = (epoch: number): TrainProgress => ({
  ...step(epoch, 40),
  learningRate: 0.1 / epoch,
  validation: { loss: 2 / epoch, rocAuc: 1 - 0.1 / epoch, 'recall.Big Cat': 0.5 },
});

function train(log: RunLog, from: number, to: number): void {
  for (let epoch = from; epoch <= to; epoch++) {
    for (const at of [8, 16, 24, 32]) log.add(step(epoch, at));
    log.add(end(epoch));
  }
}

function eventFile(log: RunLog, split: string): string {
  const names = readdirSync(join(log.path, split));
  expect(names).toHaveLength(1);
  return join(log.path, split, names[0]!);
}

/** [tag, step, value] of every scalar; fails on a record that is not whole. */
function scalarsOf(path: string): [string, number, number][] {
  const file = readFileSync(path);
  const { records, end } = decodeRecords(file);
  expect(end).toBe(file.length);
  expect(records[0]!.toString('latin1')).toContain('brain.Event:2');
  return records.slice(1).map((record) => {
    const { tag, step, value } = decodeScalar(record)!;
    return [tag, step, value];
  });
}

function linesOf(log: RunLog): Record<string, unknown>[] {
  const text = readFileSync(join(log.path, 'metrics.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('records', () => {
  it('bear the checksums of RFC 3720', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
    expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43);
    // Turned right by 15 bits, plus a constant.
    const crc = BigInt(crc32c(Buffer.from('foo')));
    const turned = ((crc >> 15n) | (crc << 17n)) & 0xffffffffn;
    expect(BigInt(maskedCrc(Buffer.from('foo')))).toBe((turned + 0xa282ead8n) & 0xffffffffn);
  });

  it('are read up to the first that is torn or changed', () => {
    const data = fc.array(fc.uint8Array({ maxLength: 20 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(data, fc.nat(), fc.boolean(), (parts, where, tear) => {
        const whole = parts.map(encodeRecord);
        const file = Buffer.concat(whole);
        expect(decodeRecords(file)).toEqual({
          records: parts.map((part) => Buffer.from(part)),
          end: file.length,
        });
        const at = where % file.length;
        const broken = tear ? file.subarray(0, at) : Buffer.from(file);
        if (!tear) broken[at]! ^= 1;
        let before = 0;
        let end = 0;
        while (end + whole[before]!.length <= at) end += whole[before++]!.length;
        const found = decodeRecords(broken);
        expect(found.end).toBe(end);
        expect(found.records).toHaveLength(before);
      }),
    );
  });
});

describe('the log of a run', () => {
  it('has a line for every epoch, and for steps now and then', async () => {
    const log = await openRunLog(makeRun(), 'train', 10);
    train(log, 1, 2);
    expect(log.trouble).toBeUndefined();
    expect(
      linesOf(log).map(({ epoch, step, validation }) => [epoch, step, validation !== undefined]),
    ).toEqual([
      [1, 8, false],
      [1, 16, false],
      [1, 24, false],
      [1, 32, false],
      [1, 40, true],
      [2, 56, false],
      [2, 64, false],
      [2, 72, false],
      [2, 80, true],
    ]);
    expect(linesOf(log).at(-1)).toMatchObject({ loss: 1 / 3, learningRate: 0.05, validation: { loss: 1 } });
    const [train1, validation] = [
      scalarsOf(eventFile(log, 'train')),
      scalarsOf(eventFile(log, 'validation')),
    ];
    expect(train1.filter(([tag]) => tag !== 'batch_loss')).toEqual([
      ['epoch_loss', 1, 0.5],
      ['epoch_learning_rate', 1, Math.fround(0.1)],
      ['epoch_loss', 2, Math.fround(1 / 3)],
      ['epoch_learning_rate', 2, Math.fround(0.05)],
    ]);
    expect(validation.slice(0, 3)).toEqual([
      ['epoch_loss', 1, 2],
      ['epoch_roc_auc', 1, Math.fround(0.9)],
      ['epoch_recall.Big Cat', 1, 0.5],
    ]);
  });

  it('goes on after a kill without doubles, and cuts off what was torn', async () => {
    const [broken, whole] = [makeRun(), makeRun()];
    const unbroken = await openRunLog(whole, 'train', 1);
    train(unbroken, 1, 6);
    const first = await openRunLog(broken, 'train', 1);
    train(first, 1, 4);
    broken.checkpoint();
    appendFileSync(eventFile(first, 'train'), Buffer.from([24, 0, 0, 0]));
    appendFileSync(join(first.path, 'metrics.jsonl'), '{"epoch": 5, "lo');
    // The checkpoint is an epoch behind the log.
    const second = await openRunLog(broken, 'train', 1);
    train(second, 3, 6);
    const timeless = (log: RunLog) => linesOf(log).map((line) => ({ ...line, time: undefined }));
    expect(timeless(second)).toEqual(timeless(unbroken));
    for (const split of ['train', 'validation']) {
      expect(scalarsOf(eventFile(second, split))).toEqual(scalarsOf(eventFile(unbroken, split)));
    }
  });

  it('begins anew with a training that does', async () => {
    const run = makeRun();
    train(await openRunLog(run, 'train', 1), 1, 3);
    const log = await openRunLog(run, 'train', 1);
    train(log, 1, 1);
    expect(linesOf(log)).toHaveLength(5);
    expect(scalarsOf(eventFile(log, 'validation'))).toHaveLength(3);
  });

  it('stops no training when it cannot be written', async () => {
    const run = makeRun();
    writeFileSync(join(run.store.root, 'runs'), 'in the way');
    const log = await openRunLog(run, 'train', 1);
    train(log, 1, 1);
    expect(log.trouble).toMatch(/^the run log is not complete: E/);
  });

  it('is what TensorBoard reads', async ({ skip }) => {
    // PYTHON may name one that has the package tensorboard.
    const python = process.env['PYTHON'] ?? 'python3';
    const probe = 'import importlib.util as u, sys; sys.exit(u.find_spec("tensorboard") is None)';
    if (spawnSync(python, ['-c', probe]).status !== 0) skip(`${python} has no tensorboard`);
    const log = await openRunLog(makeRun(), 'train', 1);
    train(log, 1, 3);
    const script = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
found = EventAccumulator(sys.argv[1]); found.Reload()
print(json.dumps([[tag, each.step, each.value] for tag in found.Tags()['scalars'] for each in found.Scalars(tag)]))`;
    for (const split of ['train', 'validation']) {
      const { stdout, stderr } = spawnSync(python, ['-c', script, join(log.path, split)], {
        encoding: 'utf8',
      });
      expect(stdout, stderr).not.toBe('');
      const byTag = (a: [string, number, number], b: [string, number, number]) =>
        a[0].localeCompare(b[0]) || a[1] - b[1];
      const read = (JSON.parse(stdout) as [string, number, number][]).sort(byTag);
      expect(read).toEqual(scalarsOf(eventFile(log, split)).sort(byTag));
    }
  }, 60_000);
});
