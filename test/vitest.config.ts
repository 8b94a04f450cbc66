import { defineConfig } from 'vitest/config';

/** What takes minutes goes by its own name, and by `npm run test:slow`. */
export const slow = 'test/**/*.slow.test.ts';

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    exclude: ['test/fixtures/**', 'test/bench/**', slow],
    globalSetup: ['test/build-once.ts'],
    testTimeout: 30_000,
    // Native sessions and child processes share two cores with the runner.
    maxWorkers: 2,
    // Modules are loaded once a process, not once a file: two thirds of the time of loading them.
    isolate: false,
    pool: 'forks',
  },
});
