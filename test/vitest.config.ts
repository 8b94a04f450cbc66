import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    exclude: ['test/fixtures/**', 'test/bench/**'],
    globalSetup: ['test/build-once.ts'],
    testTimeout: 30_000,
    // Native sessions and child processes share two cores with the runner.
    maxWorkers: 2,
    pool: 'forks',
  },
});
