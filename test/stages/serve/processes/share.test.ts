import { describe, expect, it } from 'vitest';
import type { MaasError } from '../../../../src/errors.js';
import { serveOptions } from '../../../../src/stages/serve/config.js';
import { countWorkers, readMemoryLimit } from '../../../../src/stages/serve/placement.js';
import { refuseUnshared, shareOf } from '../../../../src/stages/serve/processes/share.js';

describe('the share of one of several processes', () => {
  it('adds up to what one process may take', () => {
    const options = serveOptions.parse({
      maxConnections: 10_000,
      maxQueue: 1000,
      memoryBudget: 4_000_000,
      cache: { maxBytes: 1_000_000 },
    });
    expect(shareOf(options, 4)).toEqual({
      ...options,
      processes: 4,
      maxConnections: 2500,
      maxQueue: 250,
      memoryBudget: 1_000_000,
      cache: { maxBytes: 250_000 },
    });
  });

  it('is of half of the memory where the budget is auto', () => {
    const { memoryBudget } = shareOf(serveOptions.parse({}), 2);
    expect(memoryBudget).toBe(Math.ceil(readMemoryLimit() / 4));
  });

  it('is one connection at least, and one worker', () => {
    const { maxConnections, maxQueue } = shareOf(serveOptions.parse({ maxConnections: 1, maxQueue: 1 }), 3);
    expect([maxConnections, maxQueue]).toEqual([1, 1]);
    expect(countWorkers(1, 1, 1024)).toBe(1);
  });
});

describe('several processes', () => {
  const refusal = (options: object, platform: NodeJS.Platform): MaasError => {
    try {
      refuseUnshared(serveOptions.parse(options), platform);
    } catch (error) {
      return error as MaasError;
    }
    throw new Error('nothing was refused');
  };

  it.each([
    ['serve.sample', { sample: { file: 'samples.jsonl' } }, 'linux'],
    ['serve.drift', { drift: {} }, 'linux'],
    ['Windows', {}, 'win32'],
  ] as const)('are refused with %s', (what, options, platform) => {
    const { code, message, hint } = refusal(options, platform);
    expect(code).toBe('MAAS_USAGE');
    expect(message).toContain(what);
    expect(hint).toContain('Leave serve.processes out');
  });

  it('are fine with everything else', () => {
    const all = { cache: {}, accessLog: true, grpcPort: 0, keys: ['0123456789abcdef'] };
    expect(() => {
      refuseUnshared(serveOptions.parse(all), 'linux');
    }).not.toThrow();
  });
});
